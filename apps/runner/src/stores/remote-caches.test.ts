import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readProxyEnvironment } from "@fleetfoot/proxy-env";
import { parseRunnerConfig, type RunnerEntry } from "@fleetfoot/runner-config";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type RemoteCaches, remoteCaches } from "./remote-caches.ts";

let directory: string;
let errors: string[];
let caches: RemoteCaches;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "remote-caches-"));
  errors = [];
  const silent = (): void => {};
  const logger = { debug: silent, info: silent, warn: silent, error: (message: string) => void errors.push(message) };
  caches = remoteCaches({ environment: {}, proxies: readProxyEnvironment({}), logger });
});
afterEach(() => rm(directory, { recursive: true }));

function runner(cache: string): RunnerEntry {
  const text = `[[runners]]\nname = "box"\nurl = "https://gitlab.example.com"\ntoken = "glrt-box"\nexecutor = "shell"\n${cache}`;
  const entry = parseRunnerConfig(text).config?.runners[0];
  if (entry === undefined) throw new Error("the configuration cannot be read");
  return entry;
}

const bodyOf = (text: string) => ({ bytes: text.length, open: () => new Blob([text]).stream() });

describe("the store of a runner", () => {
  it("can be a directory, whose limits are the configuration's", async () => {
    const local = `[runners.cache]\nType = "local"\n[runners.cache.local]\nDirectory = "${directory}"\nMaxBytes = 1500\n`;
    const remote = await caches.of(runner(local));
    expect(errors).toEqual([]);
    await remote?.store.put("one", bodyOf("1".repeat(1000)));
    await remote?.store.put("two", bodyOf("2".repeat(1000)));
    expect([await remote?.store.head("one"), (await remote?.store.head("two"))?.bytes]).toEqual([undefined, 1000]);
  });

  it.each(['Type = "swift"\n', 'Type = "local"\n', 'Type = "local"\n[runners.cache.local]\nDirectory = "relative"\n'])(
    "is not opened by a section that is wrong, which is said once, here with %j",
    async (section) => {
      const entry = runner(`[runners.cache]\n${section}`);
      expect([await caches.of(entry), await caches.of(entry)]).toEqual([undefined, undefined]);
      expect(errors).toHaveLength(1);
    },
  );

  it("in S3 is not opened by a ServerAddress that is a URL, and the log says what to write", async () => {
    const s3 = `[runners.cache]\nType = "s3"\n[runners.cache.s3]\nServerAddress = "http://minio:9000"\nBucketName = "b"\n`;
    expect(await caches.of(runner(s3))).toBeUndefined();
    expect(errors).toEqual([expect.stringContaining('write "minio:9000" and set insecure to true')]);
  });

  it("is opened once for all jobs of a runner", async () => {
    const entry = runner(
      `[runners.cache]\nType = "local"\n[runners.cache.local]\nDirectory = "${directory}"\nMaxUnused = "48h"\n`,
    );
    expect(await caches.of(entry)).toBe(await caches.of(entry));
  });
});
