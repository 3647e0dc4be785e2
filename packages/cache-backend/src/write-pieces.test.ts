import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeInPieces } from "./write-pieces.ts";

describe("writeInPieces", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-write-pieces-"));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it.each([0, 1, 32_768, 32_769, 500_000])(
    "puts %i bytes where they belong, and touches nothing else",
    async (length) => {
      const path = join(folder, "file");
      const bytes = Buffer.from(Array.from({ length }, (_, index) => index % 251));
      const file = await open(path, "w+");
      try {
        await file.write("before", 0);
        await file.write("behind", 6 + length);
        await writeInPieces(file, bytes, 6);
      } finally {
        await file.close();
      }
      expect(await readFile(path)).toEqual(Buffer.concat([Buffer.from("before"), bytes, Buffer.from("behind")]));
    },
  );

  it.skipIf(process.platform !== "linux")("fails as the system does when there is no room for a piece", async () => {
    const full = await open("/dev/full", "w");
    try {
      await expect(writeInPieces(full, Buffer.alloc(200_000), 0)).rejects.toMatchObject({ code: "ENOSPC" });
    } finally {
      await full.close();
    }
  });
});
