import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { exampleServices } from "@fleetfoot-tooling/systems";
import { startOrSkip } from "@fleetfoot-tooling/systems/vitest";
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

async function expectOutput(example: string, environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const { code, output } = await run(
    process.execPath,
    ["--conditions=@fleetfoot/source", join(repositoryRoot, example)],
    { environment },
  );
  expect(output).not.toBe("");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
}

/** These get a real service, and learn by their environment where it is. */
const served = Object.keys(exampleServices).map((name) => name.replace("@fleetfoot/", "packages/"));

describe("examples", () => {
  it.each(examples.filter((example) => !served.some((directory) => example.startsWith(`${directory}/`))))(
    "%s runs and prints something",
    (example) => expectOutput(example),
  );
});

describe("examples that talk to a service", () => {
  it.for(Object.entries(exampleServices))("of %s run and print something", async ([name, start], context) => {
    const { system, environment } = await startOrSkip(start, context);
    try {
      const directory = `${name.replace("@fleetfoot/", "packages/")}/`;
      for (const example of examples.filter((path) => path.startsWith(directory)))
        await expectOutput(example, environment);
    } finally {
      await system[Symbol.asyncDispose]();
    }
  });
});
