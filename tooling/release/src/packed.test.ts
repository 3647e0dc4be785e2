import { mkdir, mkdtemp, readdir, rm, cp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { exampleServices, runProgram, systemEnvironment } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";
import { startOrSkip } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { limitConcurrency } from "./limit.ts";
import { installOldestNode } from "./oldest-node.ts";
import { buildPackages, filesIn, packPackage, readFileIn } from "./pack.ts";
import { publishedPackages } from "./packages.ts";
import type { Manifest, PublishedPackage } from "./packages.ts";
import { releaseEnvironment } from "./toolchain.ts";

const packages = publishedPackages();
const tarballs = new Map<string, string>();
let folder = "";
let environment: Environment = {};
let oldestNode = "";
let buildProblem: unknown;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fleetfoot-packed-"));
  environment = await releaseEnvironment();
  oldestNode = await installOldestNode(join(folder, "oldest-node"), environment);
  // Kept for a test of its own: a package that does not build must not hide what the others have to say.
  await buildPackages(environment).catch((error: unknown) => {
    buildProblem = error;
  });
  const two = limitConcurrency(2);
  await Promise.all(
    packages.map((each) => two(async () => tarballs.set(each.name, await packPackage(each, folder, environment)))),
  );
});
afterAll(() => rm(folder, { recursive: true }));

it("builds every published package", () => {
  if (buildProblem !== undefined) throw buildProblem;
});

describe.each(packages)("the tarball of $name", (each) => {
  it("has a README, the license and what its manifest points to, and neither sources nor tests", async () => {
    const tarball = tarballs.get(each.name) ?? "";
    const files = await filesIn(tarball, environment);
    const manifest = JSON.parse(await readFileIn(tarball, "package.json", environment)) as Manifest;
    expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json", ...targetsOf(manifest)]));
    expect(files.filter((path) => /(^|\/)src\/|\.test\.|(?<!\.d)\.ts$/.test(path))).toEqual([]);
  });

  it("has types for every entry, and no condition and no version that only this workspace understands", async () => {
    const manifest = JSON.parse(
      await readFileIn(tarballs.get(each.name) ?? "", "package.json", environment),
    ) as Manifest;
    expect(conditionsIn(manifest.exports)).toEqual(new Set(["types", "default"]));
    const ranges = Object.values({
      ...manifest.dependencies,
      ...manifest.peerDependencies,
      ...manifest.optionalDependencies,
    });
    expect(ranges.filter((range) => /^(workspace|catalog|file|link):/.test(range))).toEqual([]);
  });
});

describe("installed alone into an empty project, with the oldest Node that the packages are for", () => {
  const two = limitConcurrency(2);

  it.concurrent.for(packages)("$name runs its examples and its commands", (each, context) =>
    two(async () => {
      const project = await installAlone(each);
      const commands = Object.keys(each.manifest.bin ?? {});
      expect(each.examples.length + commands.length, "examples and commands").toBeGreaterThan(0);
      await using service = await serviceOf(each, context);
      // No certificates, no proxies and no condition of this repository: what a user's empty machine has.
      const plain = { ...systemEnvironment(project), ...service.environment };
      for (const example of each.examples) {
        await cp(example, join(project, basename(example)));
        const output = await runProgram(oldestNode, [basename(example)], { environment: plain, folder: project });
        expect(output, basename(example)).not.toBe("");
      }
      for (const command of commands) {
        const script = join("node_modules/.bin", command);
        const output = await runProgram(oldestNode, [script, "--help"], { environment: plain, folder: project });
        expect(output, command).not.toBe("");
      }
    }),
  );
});

/** The real service that a package's examples talk to; nothing for most. */
async function serviceOf(
  each: PublishedPackage,
  context: TestContext,
): Promise<AsyncDisposable & { readonly environment: Readonly<Record<string, string>> }> {
  const start = exampleServices[each.name];
  if (start === undefined) return { environment: {}, async [Symbol.asyncDispose]() {} };
  const { system, environment: variables } = await startOrSkip(start, context);
  return { environment: variables, [Symbol.asyncDispose]: () => system[Symbol.asyncDispose]() };
}

/** Installs one tarball; the workspace packages that it depends on come from their tarballs, since no registry has them. */
async function installAlone(each: PublishedPackage): Promise<string> {
  const project = join(folder, each.name.replace("/", "-"));
  await mkdir(project);
  const siblings = [...tarballs].filter(([name]) => name !== each.name);
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({
      private: true,
      type: "module",
      // What is optional to a package is there where somebody uses that part of it, as its examples do.
      dependencies: { [each.name]: `file:${tarballs.get(each.name)}`, ...each.manifest.peerDependencies },
      overrides: Object.fromEntries(siblings.map(([name, tarball]) => [name, `file:${tarball}`])),
    }),
  );
  await runProgram("npm", ["install", "--prefer-offline", "--ignore-scripts", "--loglevel=error"], {
    environment,
    folder: project,
  });
  expect(await readdir(join(project, "node_modules"))).not.toEqual([]);
  return project;
}

/** Files that a manifest promises. */
function targetsOf(manifest: Manifest): readonly string[] {
  const targets = [...leavesOf(manifest.exports).map(([, target]) => target), ...Object.values(manifest.bin ?? {})];
  return [...new Set(targets.map((target) => target.replace(/^\.\//, "")))];
}

function conditionsIn(exports: unknown): ReadonlySet<string> {
  return new Set(
    leavesOf(exports)
      .map(([condition]) => condition)
      .filter((condition) => !condition.startsWith(".")),
  );
}

/** The strings of an exports map, each with the key it stands under. */
function leavesOf(exports: unknown): readonly (readonly [string, string])[] {
  return Object.entries(exports ?? {}).flatMap(([key, value]): readonly (readonly [string, string])[] =>
    typeof value === "string" ? [[key, value]] : leavesOf(value),
  );
}
