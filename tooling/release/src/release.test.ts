import { mkdir, mkdtemp, readdir, readFile, rm, writeFile, cp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repositoryFolder, runProgram } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmptyRegistry } from "./empty-registry.ts";
import { buildPackages, filesIn } from "./pack.ts";
import { publishedPackages } from "./packages.ts";
import { releaseEnvironment } from "./toolchain.ts";

describe("a release of a copy of the repository", () => {
  let copy = "";
  let environment: Environment = {};
  let changesets: readonly string[] = [];
  let buildProblem: unknown;
  const run = (command: string, ...args: readonly string[]) => runProgram(command, args, { environment, folder: copy });

  beforeAll(async () => {
    environment = await releaseEnvironment();
    copy = await mkdtemp(join(tmpdir(), "fleetfoot-release-"));
    await copyRepository(copy, environment);
    await run("pnpm", "install", "--offline", "--frozen-lockfile", "--ignore-scripts", "--reporter=silent");
    changesets = await readChangesets(copy);
    await run("changeset", "version");
    await buildPackages(environment, copy).catch((error: unknown) => {
      buildProblem = error;
    });
  });
  afterAll(() => rm(copy, { recursive: true }));

  it("turns the changesets into versions and changelogs, and touches nothing that is private", async () => {
    expect(await readChangesets(copy)).toEqual([]);
    for (const { name, folder, manifest } of publishedPackages(copy)) {
      if (!changesets.some((changeset) => changeset.includes(`"${name}":`))) continue;
      expect(manifest.version, name).not.toBe("0.0.0");
      expect(await readFile(join(folder, "CHANGELOG.md"), "utf8")).toContain(`## ${manifest.version}`);
    }
    // The lock file knows workspace packages by folder, so a release leaves it as it is.
    const untouched = ["pnpm-lock.yaml", "package.json", "tooling", "bench"];
    expect(await run("git", "status", "--porcelain", "--", ...untouched)).toBe("");
  });

  it("builds what it publishes", () => {
    if (buildProblem !== undefined) throw buildProblem;
  });

  it("would publish every package in a dry run", async () => {
    const registry = await startEmptyRegistry();
    const flags = ["--recursive", "--dry-run", "--no-git-checks", "--registry", registry.url];
    const output = await run("pnpm", "publish", ...flags);
    const names = publishedPackages(copy).map(({ name, manifest }) => `${name}@${manifest.version}`);
    expect(names.filter((name) => !output.includes(name))).toEqual([]);
    expect(registry.published).toEqual([]);
    await registry.stop();
  });

  it("publishes every package with its built files and with versions that npm understands", async () => {
    const registry = await startEmptyRegistry();
    const { host } = new URL(registry.url);
    await writeFile(join(copy, ".npmrc"), `//${host}/:_authToken=a-token-of-this-test\n`);
    await run("pnpm", "publish", "--recursive", "--no-git-checks", "--registry", registry.url);
    const versions = new Map(publishedPackages(copy).map(({ name, manifest }) => [name, manifest.version]));
    expect(registry.published.map(({ manifest }) => manifest.name).sort()).toEqual([...versions.keys()].sort());
    for (const { manifest, tarball } of registry.published) {
      expect(manifest.version).toBe(versions.get(manifest.name));
      for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
        const expected = versions.has(name) ? [`^${versions.get(name)}`] : [expect.stringMatching(/^[\^~]?\d/)];
        expect([range], `${manifest.name} -> ${name}`).toEqual(expected);
      }
      const file = join(copy, "published.tgz");
      await writeFile(file, tarball);
      expect(await filesIn(file, environment), manifest.name).toContain("dist/index.js");
    }
    await registry.stop();
  });
});

/** Texts of the changesets that wait for a release. */
async function readChangesets(root: string): Promise<readonly string[]> {
  const folder = join(root, ".changeset");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".md") && name !== "README.md");
  return Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
}

/** Copies what git would commit now, and commits it: changesets reads the history. */
async function copyRepository(target: string, environment: Environment): Promise<void> {
  const listing = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"];
  const files = await runProgram("git", listing, { environment, folder: repositoryFolder });
  const deleted = await runProgram("git", ["ls-files", "--deleted", "-z"], { environment, folder: repositoryFolder });
  const gone = new Set(deleted.split("\0"));
  for (const file of files.split("\0").filter((file) => !gone.has(file))) {
    await mkdir(dirname(join(target, file)), { recursive: true });
    await cp(join(repositoryFolder, file), join(target, file), { verbatimSymlinks: true });
  }
  const git = (...args: readonly string[]) => runProgram("git", args, { environment, folder: target });
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "Copy");
}
