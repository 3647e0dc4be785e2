import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { digestOfPaths, formatMetadata, readMetadata, writeMetadata } from "./metadata.ts";

describe("metadata.json", () => {
  it("is one line with sorted names, escaped as Go does it", () => {
    const text = formatMetadata({ os: "linux", cachekey: '<a>&\u2028\u2029ä"' });
    expect(text).toBe('{"cachekey":"\\u003ca\\u003e\\u0026\\u2028\\u2029ä\\"","os":"linux"}');
    expect(JSON.parse(text)).toEqual({ cachekey: '<a>&\u2028\u2029ä"', os: "linux" });
  });

  it("is read back, and says nothing when it is absent, torn or something else", async () => {
    const directory = await mkdtemp(join(tmpdir(), "metadata-"));
    const archivePath = join(directory, "cache.zip");
    expect(await readMetadata(archivePath)).toEqual({});
    await writeMetadata(archivePath, { cachekey: "k" });
    expect(await readMetadata(archivePath)).toEqual({ cachekey: "k" });
    expect((await stat(join(directory, "metadata.json"))).mode & 0o137).toBe(0);
    for (const text of ['{"cachekey":', "[]", "null", '{"os":1}', ""]) {
      await writeFile(join(directory, "metadata.json"), text);
      expect(await readMetadata(archivePath)).toEqual({});
    }
    await rm(directory, { recursive: true });
  });
});

describe("digestOfPaths", () => {
  it("depends on what is declared, not on its order", () => {
    expect(digestOfPaths({ key: "k", paths: ["a", "b"] })).toBe(
      digestOfPaths({ key: "other", paths: ["b", "a", "a"] }),
    );
    expect(digestOfPaths({ key: "k", paths: ["a"] })).not.toBe(digestOfPaths({ key: "k", paths: ["b"] }));
    expect(digestOfPaths({ key: "k", paths: ["a"] })).not.toBe(
      digestOfPaths({ key: "k", paths: ["a"], untracked: true }),
    );
  });
});
