import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBucket } from "@fleetfoot/cache-backend-s3";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCli } from "../../cli.ts";
import { testContext } from "../../testing/context.ts";

describeWithSystem("minio", (minio) => {
  let project: string;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "store-caches-"));
    await mkdir(join(project, "deps"));
    await writeFile(join(project, "deps/lib"), "lib");
    const { endpoint, accessKeyId, secretAccessKey } = minio();
    const serverAddress = new URL(endpoint).host;
    await createBucket({ bucket: "caches", serverAddress, insecure: true, accessKeyId, secretAccessKey });
    const runner = (name: string, cache: string): string =>
      `[[runners]]\nname = "${name}"\nurl = "https://gitlab.example.com"\ntoken = "glrt-${name}"\nexecutor = "shell"\n${cache}`;
    const s3 = `[runners.cache.s3]\nServerAddress = "${serverAddress}"\nAccessKey = "${accessKeyId}"\nSecretKey = "${secretAccessKey}"\nBucketName = "caches"\nInsecure = true\n`;
    const azure = '[runners.cache.azure]\nAccountName = "account"\nAccountKey = "a2V5"\nContainerName = "container"\n';
    await writeFile(
      join(project, "config.toml"),
      runner("box", `[runners.cache]\nType = "s3"\nPath = "ci"\n${s3}`) +
        runner("sky", `[runners.cache]\nType = "azure"\nShared = true\n${azure}`) +
        runner("plain", ""),
    );
  });
  afterAll(() => rm(project, { recursive: true }));

  async function cache(...words: string[]): Promise<{ code: number; printed: string; complained: string }> {
    const context = testContext({ workingDirectory: project, homeDirectory: project });
    const code = await runCli(["cache", ...words], context);
    return { code, printed: context.printed(), complained: context.complained() };
  }
  const box = ["--config", "config.toml", "--runner", "box"];
  const deps = ["--key", "deps", "--path", "deps", "--project-id", "42"];

  it("caches of a runner's store come back on another host", async () => {
    expect((await cache("create", ...deps, ...box)).printed).toContain("Uploaded cache deps to s3");
    await rm(join(project, ".fleetfoot"), { recursive: true });
    await rm(join(project, "deps"), { recursive: true });
    const restored = await cache("restore", ...deps, ...box, "--fail-on-miss");
    expect([restored.code, restored.printed]).toEqual([0, expect.stringContaining("downloaded from s3")]);
  });

  it("caches of a runner's store are listed, pruned and removed by name", async () => {
    await cache("create", ...deps, ...box);
    expect((await cache("ls", ...box)).printed).toMatch(/^42\/deps /);
    const listed = await cache("ls", ...box, "--project-id", "42");
    expect([listed.printed, listed.complained]).toEqual([
      expect.stringMatching(/^deps /),
      expect.stringContaining("in s3, ci/runner/box/project/42/"),
    ]);
    const inspected = await cache("inspect", ...box, "--json", "42/deps");
    expect(JSON.parse(inspected.printed)).toMatchObject({
      place: "s3, ci/runner/box/project/",
      metadata: { cachekey: "deps" },
    });
    expect((await cache("inspect", ...box, "42/../deps")).complained).toContain("neither a cache 42/../deps in s3");
    expect((await cache("prune", ...box, "--older-than", "1d")).complained).toContain("0 of 1 caches");
    expect((await cache("rm", ...box, "42/deps")).printed).toBe("removed 42/deps\n");
    expect((await cache("ls", ...box)).complained).toContain("0 caches");
  });

  it("a bucket is told to forget caches by itself", async () => {
    const shown = await cache("lifecycle", ...box, "--days", "30");
    expect(JSON.parse(shown.printed)).toMatchObject({
      Rules: [{ Filter: { Prefix: "ci/runner/box/project/" }, Expiration: { Days: 30 } }],
    });
    expect((await cache("lifecycle", ...box, "--days", "30", "--apply")).complained).toContain("after 30 days");
  });

  it("a rule for Azure is printed with the command that sets it, which cannot be done from here", async () => {
    const sky = ["--config", "config.toml", "--runner", "sky"];
    const shown = await cache("lifecycle", ...sky);
    expect(shown.printed).toContain('"container/project/"');
    const applied = await cache("lifecycle", ...sky, "--apply");
    expect([applied.code, applied.complained]).toEqual([1, expect.stringContaining("--account-name account")]);
  });

  it.each([
    { words: ["ls", "--config", "config.toml"], says: "has several runners" },
    { words: ["ls", "--config", "config.toml", "--runner", "none"], says: "no such runner" },
    { words: ["ls", "--config", "config.toml", "--runner", "plain"], says: "has no store" },
    {
      words: ["create", "--key", "k", "--path", "deps", "--config", "config.toml", "--runner", "box"],
      says: "--project-id",
    },
    { words: ["lifecycle"], says: "bucket of a runner" },
    { words: ["lifecycle", "--days", "0"], says: '--days "0"' },
    { words: ["lifecycle", "--days", "1e3"], says: '--days "1e3"' },
    { words: ["lifecycle", "--days", ""], says: '--days ""' },
    { words: ["lifecycle", "--days", "36501"], says: "from 1 to 36500" },
  ])("says what is wrong in $words", async ({ words, says }) => {
    const { code, complained } = await cache(...words);
    expect([code, complained]).toEqual([1, expect.stringContaining(says)]);
  });
});
