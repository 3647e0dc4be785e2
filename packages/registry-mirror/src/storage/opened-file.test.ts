import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DiskCalls } from "./disk-calls.ts";
import { OpenedFile } from "./opened-file.ts";

describe("OpenedFile", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "opened-file-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function opened(path: string, flags: string): Promise<OpenedFile> {
    return new OpenedFile(path, await open(path, flags), new DiskCalls());
  }

  it.each([[], [0], [1], [32_768], [32_769, 1, 0, 500_000]])(
    "writes pieces of %j, %j, … bytes at their place",
    async (...lengths) => {
      const file = await opened(join(folder, "file"), "wx+");
      const chunks = lengths.map((length, nth) => Buffer.alloc(length, `${nth}`));
      try {
        await file.write([Buffer.from("before")], 0);
        await file.write(chunks, 6);
      } finally {
        await file.close();
      }
      expect(await readFile(file.path)).toEqual(Buffer.concat([Buffer.from("before"), ...chunks]));
    },
  );

  it.skipIf(process.platform !== "linux")("fails as the system does when there is no room for a piece", async () => {
    const file = await opened("/dev/full", "w");
    try {
      await expect(file.write([Buffer.alloc(200_000)], 0)).rejects.toMatchObject({ code: "ENOSPC" });
    } finally {
      await file.close();
    }
  });
});
