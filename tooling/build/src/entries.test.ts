import { describe, expect, it } from "vitest";
import { entriesOf } from "./entries.ts";

describe("the entries of a package", () => {
  it("are its exports and its programs", () => {
    const entries = entriesOf({
      name: "example",
      exports: {
        ".": { "@fleetfoot/source": "./src/index.ts", default: "./dist/index.js" },
        "./testing": { "@fleetfoot/source": "./src/testing/index.ts", default: "./dist/testing/index.js" },
        "./package.json": "./package.json",
      },
      bin: { example: "./dist/main.js" },
    });
    expect(entries).toEqual({
      index: "./src/index.ts",
      "testing/index": "./src/testing/index.ts",
      main: "./src/main.ts",
    });
  });

  it("are refused when source and built file lie at different places", () => {
    const exports = { ".": { "@fleetfoot/source": "./src/main.ts", default: "./dist/index.js" } };
    expect(() => entriesOf({ name: "example", exports })).toThrow("example: the export . names ./src/main.ts");
  });
});
