import { createMemoryStore } from "@fleetfoot/cache-backend";
import { describe, expect, it } from "vitest";

import { openRemoteCache } from "../index.ts";
import type { OpenRemoteCacheOptions } from "../index.ts";

const settings = { path: "p", shared: true, runnerShortToken: "short", maxUploadedArchiveBytes: 0 };
const store = createMemoryStore();

async function open(type: string, kinds: OpenRemoteCacheOptions["kinds"]): Promise<[unknown, string[]]> {
  const errors: string[] = [];
  return [await openRemoteCache({ type, kinds, settings, logError: (message) => errors.push(message) }), errors];
}

describe("openRemoteCache", () => {
  it("opens the store of the kind that is named, in any case", async () => {
    for (const type of ["s3", "S3"])
      expect(await open(type, { gcs: fails, s3: () => store })).toEqual([{ ...settings, store }, []]);
  });

  it("CA B7: leaves caches on this host when there is no such kind, and says so", async () => {
    const [cache, errors] = await open("swift", { s3: () => store, gcs: () => store });
    expect(cache).toBeUndefined();
    expect(errors).toEqual(['cache type "swift" is not one of s3, gcs; caches stay on this host']);
    expect((await open("toString", { s3: () => store }))[0]).toBeUndefined();
  });

  it("leaves caches on this host when the store cannot be opened, and says why", async () => {
    expect(await open("s3", { s3: fails })).toEqual([undefined, [expect.stringContaining("no bucket")]]);
  });

  it("says nothing when no kind is named", async () => {
    expect(await open("", {})).toEqual([undefined, []]);
  });
});

function fails(): never {
  throw new Error("no bucket");
}
