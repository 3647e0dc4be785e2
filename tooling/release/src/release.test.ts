import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile, cp } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { repositoryFolder, runProgram } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishedPackages } from "./packages.ts";
import type { Manifest } from "./packages.ts";
import { releaseEnvironment } from "./toolchain.ts";

describe("a release of a copy of the repository", () => {
  let copy = "";
  let environment: Environment = {};
  const run = (command: string, ...args: readonly string[]) => runProgram(command, args, { environment, folder: copy });

  beforeAll(async () => {
    environment = await releaseEnvironment();
    copy = await mkdtemp(join(tmpdir(), "fleetfoot-release-"));
    await copyRepository(copy, environment);
    await run("pnpm", "install", "--offline", "--frozen-lockfile", "--ignore-scripts", "--reporter=silent");
  });
  afterAll(() => rm(copy, { recursive: true }));

  it("turns the changesets into versions and changelogs", async () => {
    const pending = (await readdir(join(copy, ".changeset"))).filter((name) => name.endsWith(".md"));
    const mentioned = await Promise.all(pending.map((name) => readFile(join(copy, ".changeset", name), "utf8")));
    await run("changeset", "version");
    expect((await readdir(join(copy, ".changeset"))).filter((name) => name.endsWith(".md"))).toEqual([]);
    for (const { name, folder, manifest } of publishedPackages(copy)) {
      if (!mentioned.some((changeset) => changeset.includes(`"${name}":`))) continue;
      expect(manifest.version, name).not.toBe("0.0.0");
      expect(await readFile(join(folder, "CHANGELOG.md"), "utf8")).toContain(`## ${manifest.version}`);
    }
    // The lock file knows workspace packages by folder, so a release leaves it as it is.
    expect(await run("git", "status", "--porcelain", "--", "pnpm-lock.yaml", "tooling", "bench")).toBe("");
  });

  it("would publish every package in a dry run", async () => {
    const registry = await startEmptyRegistry();
    const output = await run(
      "pnpm",
      "publish",
      "--recursive",
      "--dry-run",
      "--no-git-checks",
      "--registry",
      registry.url,
    );
    const names = publishedPackages(copy).map(({ name, manifest }) => `${name}@${manifest.version}`);
    expect(names.filter((name) => !output.includes(name))).toEqual([]);
    expect(registry.published).toEqual([]);
    await registry.stop();
  });

  it("publishes every package with versions that npm understands", async () => {
    const registry = await startEmptyRegistry();
    const { host } = new URL(registry.url);
    await writeFile(join(copy, ".npmrc"), `//${host}/:_authToken=a-token-of-this-test\n`);
    await run("pnpm", "publish", "--recursive", "--no-git-checks", "--registry", registry.url);
    const versions = new Map(publishedPackages(copy).map(({ name, manifest }) => [name, manifest.version]));
    expect(registry.published.map(({ name }) => name).sort()).toEqual([...versions.keys()].sort());
    for (const manifest of registry.published) {
      expect(manifest.version).toBe(versions.get(manifest.name));
      for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
        if (versions.has(name)) expect(range, `${manifest.name} -> ${name}`).toBe(`^${versions.get(name)}`);
        else expect(range, `${manifest.name} -> ${name}`).toMatch(/^[\^~]?\d/);
      }
    }
    await registry.stop();
  });
});

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

interface EmptyRegistry {
  readonly url: string;
  /** Manifests of the packages that were published to it. */
  readonly published: readonly Manifest[];
  readonly stop: () => Promise<void>;
}

/** A registry that knows no package and accepts every one, so that nothing of a release leaves this machine. */
async function startEmptyRegistry(): Promise<EmptyRegistry> {
  const published: Manifest[] = [];
  const server = createServer((request, response) => {
    if (request.method !== "PUT") {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
      return;
    }
    void text(request).then((body) => {
      const { versions } = JSON.parse(body) as { readonly versions: Readonly<Record<string, Manifest>> };
      published.push(...Object.values(versions));
      response.writeHead(201, { "content-type": "application/json" }).end("{}");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    published,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
