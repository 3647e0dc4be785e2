import { mkdtemp, open, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { selectFiles } from "@fleetfoot/cache-archive";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { writeGzipMembers } from "./gzip-members.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "gzip-members-"));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});

it.runIf(process.platform === "linux")("leaves no file open when the first bytes cannot be written", async () => {
  await writeFile(join(root, "report.xml"), "<report/>");
  const { entries } = await selectFiles({ root, paths: ["report.xml"] });
  await refuseToWrite("no space left on device");

  const written = writeGzipMembers({
    target: join(root, "report.gz"),
    root,
    entries,
    warn: () => undefined,
    signal: new AbortController().signal,
  });
  await expect(written).rejects.toThrow("no space left on device");
  expect(await openFilesBelow(root)).toEqual([]);
});

/** A full disk cannot be had without rights on this host. */
async function refuseToWrite(message: string): Promise<void> {
  const handle = await open(join(root, "report.xml"));
  vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, "writeFile").mockRejectedValue(new Error(message));
  await handle.close();
}

async function openFilesBelow(directory: string): Promise<string[]> {
  const descriptors = await readdir("/proc/self/fd");
  const paths = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return paths.filter((path) => path.startsWith(directory));
}
