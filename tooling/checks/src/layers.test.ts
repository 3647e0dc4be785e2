import { describe, expect, it } from "vitest";
import { importedPackages, layeringProblems } from "./layers.ts";

describe("layering", () => {
  it("accepts an import that points downward", () => {
    expect(layeringProblems([{ from: "@fleetfoot/job-runner", to: "@fleetfoot/cache-key", file: "a.ts" }])).toEqual([]);
  });

  it("refuses an import that points upward", () => {
    const problems = layeringProblems([{ from: "@fleetfoot/cache-key", to: "@fleetfoot/job-runner", file: "a.ts" }]);
    expect(problems).toEqual([expect.stringContaining("a layer above it")]);
  });

  it("refuses an import within one layer", () => {
    const problems = layeringProblems([
      { from: "@fleetfoot/job-runner", to: "@fleetfoot/local-coordinator", file: "a.ts" },
    ]);
    expect(problems).toEqual([expect.stringContaining("the same layer")]);
  });

  it("refuses a package that nobody has given a layer", () => {
    const problems = layeringProblems([{ from: "@fleetfoot/new", to: "@fleetfoot/cache-key", file: "a.ts" }]);
    expect(problems).toEqual([expect.stringContaining("has no layer")]);
  });

  it("reads static, dynamic, type and sub-path imports and exports", () => {
    const source = `
      import { a } from "@fleetfoot/cache-key";
      import type { B } from '@fleetfoot/job-trace';
      export { c } from "@fleetfoot/cache-backend/testing";
      const d = await import("@fleetfoot/ci-config");
      import "fleetfoot";
      import { e } from "@other/thing";
    `;
    expect(importedPackages(source)).toEqual([
      "@fleetfoot/cache-key",
      "@fleetfoot/job-trace",
      "@fleetfoot/cache-backend",
      "@fleetfoot/ci-config",
      "fleetfoot",
    ]);
  });
});
