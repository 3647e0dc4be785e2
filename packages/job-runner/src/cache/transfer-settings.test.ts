import { describe, expect, it } from "vitest";

import { partSettings, trySettings, uploadLimitBytes } from "./transfer-settings.ts";
import type { CacheStageOptions } from "./types.ts";

function given(variables: Readonly<Record<string, string>>, maxUploadedArchiveBytes?: number): CacheStageOptions {
  const store = maxUploadedArchiveBytes === undefined ? undefined : { maxUploadedArchiveBytes };
  const signal = new AbortController().signal;
  return { lookup: (name: string) => variables[name], store, signal } as unknown as CacheStageOptions;
}

describe("the time that one try may take", () => {
  it.each([
    ["", 10],
    ["3", 3],
    ["0", 10],
    ["-1", 10],
    ["soon", 10],
    ["1.5", 10],
    ["99999999999", 10],
  ])("is read from CACHE_REQUEST_TIMEOUT=%s as %i minutes", (text, minutes) => {
    expect(trySettings(given({ CACHE_REQUEST_TIMEOUT: text })).attemptTimeoutMs).toBe(minutes * 60_000);
  });
});

describe("the time of all of a transfer", () => {
  it("is the job's", () => {
    expect(trySettings({ ...given({}), jobTimeoutMs: 5000 }).timeLimitMs).toBe(5000);
  });
});

describe("the parts of a transfer", () => {
  it("go one after the other unless the flag is set", () => {
    expect(partSettings(given({ CACHE_CONCURRENCY: "4" })).concurrency).toBe(1);
  });

  it("have the reference's number and length by default", () => {
    const settings = partSettings(given({ FF_USE_PARALLEL_CACHE_TRANSFER: "true", CACHE_CHUNK_SIZE: "0" }));
    expect([settings.concurrency, settings.chunkBytes]).toEqual([16, undefined]);
  });

  it("are what the job asks for", () => {
    const variables = { FF_USE_PARALLEL_CACHE_TRANSFER: "1", CACHE_CONCURRENCY: "0", CACHE_CHUNK_SIZE: "1000" };
    const settings = partSettings(given(variables));
    expect([settings.concurrency, settings.chunkBytes]).toEqual([1, 1000]);
  });

  it.each(["CACHE_CONCURRENCY", "CACHE_CHUNK_SIZE"])("cannot have a negative %s", (name) => {
    expect(() => partSettings(given({ [name]: "-1" }))).toThrow(name);
  });
});

describe("the limit of an upload", () => {
  it.each([
    { configured: undefined, asked: "", limit: Infinity },
    { configured: 0, asked: "0", limit: Infinity },
    { configured: 10, asked: "", limit: 10 },
    { configured: 0, asked: "5", limit: 5 },
    { configured: 10, asked: "5", limit: 5 },
    { configured: 10, asked: "50", limit: 10 },
    { configured: 10, asked: "much", limit: 10 },
  ])("is $limit for $configured in the configuration and '$asked' in the job", ({ configured, asked, limit }) => {
    expect(uploadLimitBytes(given({ CACHE_MAX_UPLOADED_ARCHIVE_SIZE: asked }, configured))).toBe(limit);
  });
});
