import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "./process.ts";
import { publishedPackages, repositoryRoot } from "./workspace.ts";

const examples = publishedPackages().flatMap(({ directory }) => {
  const folder = join(repositoryRoot, directory, "examples");
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(".ts"))
        .map((name) => `${directory}/examples/${name}`)
    : [];
});

describe("examples", () => {
  it.each(examples)("%s runs and prints something", async (example) => {
    const { code, output } = await run(process.execPath, [
      "--conditions=@fleetfoot/source",
      join(repositoryRoot, example),
    ]);
    expect(output).not.toBe("");
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  });
});
