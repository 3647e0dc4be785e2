import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { createLocalStore } from "@fleetfoot/cache-backend-local";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CacheBench, killedAt } from "../test-support/cache-bench.ts";

const gems = { key: "gems", paths: ["vendor"] };
const own = { os: "linux", arch: "amd64" };
const foreign = { os: "linux", arch: "arm64" };

let bench: CacheBench;
let elsewhere: CacheBench;
let storeDirectory: string;

beforeEach(async () => {
  bench = await CacheBench.open();
  elsewhere = await CacheBench.open();
  storeDirectory = join(bench.top, "shared");
});

afterEach(async () => {
  await bench.close();
  await elsewhere.close();
});

describe("a runner that is killed right after a download has replaced an archive", () => {
  it("leaves no platform of the old one beside the new one, which is used", async () => {
    await saveOn(bench, foreign, "old");
    await saveOn(elsewhere, own, "new");
    await killAt("after", "restoreCaches");
    expect(await platformBeside()).toBeUndefined();
    await restoreOwnOnly();
    expect(bench.events).toMatchObject([{ kind: "hit" }]);
    expect(await bench.read("vendor/a")).toBe("new");
  });

  it("does not let pass what the new one's platform forbids", async () => {
    await saveOn(bench, own, "old");
    await saveOn(elsewhere, foreign, "new");
    await killAt("after", "restoreCaches");
    await restoreOwnOnly();
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(bench.warnings()).toEqual([expect.stringMatching(/was made on linux\/arm64.*it is not used/)]);
  });
});

it("a runner that is killed right before a download replaces an archive leaves nothing that keeps the next from it", async () => {
  await saveOn(bench, foreign, "old");
  await saveOn(elsewhere, own, "new");
  await killAt("before", "restoreCaches");
  await restoreOwnOnly();
  expect(bench.events).toMatchObject([{ kind: "hit" }]);
  expect(await bench.read("vendor/a")).toBe("new");
});

describe("a runner that is killed while it saves", () => {
  it("right after it has replaced an archive leaves no platform of the old one beside it, here or in the store", async () => {
    await saveOn(bench, foreign, "old");
    await bench.clean();
    await bench.write({ "vendor/a": "new, and of this platform" });
    await killAt("after", "saveCaches");
    expect(await platformBeside()).toBeUndefined();
    await saveOn(bench, own, "new, and of this platform");
    expect(await platformBeside()).toBe("amd64");
    await restoreOwnOnly();
    expect(bench.events.at(-1)).toMatchObject({ kind: "hit" });
  });

  it("right before it replaces an archive leaves the old one usable", async () => {
    await saveOn(bench, own, "old");
    await bench.write({ "vendor/a": "new" });
    await killAt("before", "saveCaches");
    await restoreOwnOnly();
    expect(bench.events.at(-1)).toMatchObject({ kind: "hit" });
    expect(await bench.read("vendor/a")).toBe("old");
    expect(await platformBeside()).toBe("amd64");
  });
});

async function saveOn(host: CacheBench, platform: typeof own, content: string): Promise<void> {
  useStore(host);
  host.extra = { platform };
  await host.write({ "vendor/a": content });
  await host.save(gems);
  host.forget();
}

async function restoreOwnOnly(): Promise<void> {
  useStore(bench);
  bench.extra = { platform: own, foreignArchitecture: "miss" };
  bench.forget();
  await bench.clean();
  await bench.restore(gems);
}

function useStore(host: CacheBench): void {
  const store = createLocalStore({ directory: storeDirectory });
  host.store = { store, path: "", shared: true, runnerShortToken: "short", maxUploadedArchiveBytes: 0 };
}

async function platformBeside(): Promise<unknown> {
  const text = await readFile(join(dirname(bench.archive("gems")), "metadata.json"), "utf8").catch(() => "{}");
  return (JSON.parse(text) as { readonly arch?: unknown }).arch;
}

async function killAt(when: "before" | "after", stage: "saveCaches" | "restoreCaches"): Promise<void> {
  expect(await killedAt(when, stage, bench, gems, { storeDirectory })).toBe("SIGKILL");
}
