import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bodyOfFile } from "./file-body.ts";
import { createMemoryStore } from "./memory-store.ts";
import { counted } from "./testing/index.ts";

const content = counted(1_500_000);
let directory: string;
let file: FileHandle;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "file-body-"));
  await writeFile(join(directory, "file"), content);
  file = await open(join(directory, "file"));
});

afterEach(async () => {
  await file.close();
  await rm(directory, { recursive: true });
});

async function bytesOf(stream: ReadableStream<Uint8Array> | undefined): Promise<Buffer> {
  return Buffer.from(await new Response(stream).arrayBuffer());
}

describe("bodyOfFile", () => {
  it("opens the whole file and any part of it, several at once, and leaves it open", async () => {
    const { bytes, open: openAll, openRange } = bodyOfFile(file, content.byteLength);
    const ranges = [
      [0, 1],
      [1_000_000, 1_500_000],
      [700, 600_000],
      [5, 5],
    ] as const;
    const parts = await Promise.all(ranges.map(([start, end]) => bytesOf(openRange?.(start, end))));
    expect(bytes).toBe(content.byteLength);
    for (const [index, [start, end]] of ranges.entries()) {
      expect(Buffer.compare(parts[index] ?? Buffer.alloc(0), content.subarray(start, end))).toBe(0);
    }
    expect(Buffer.compare(await bytesOf(openAll()), content)).toBe(0);
    expect((await file.stat()).size).toBe(content.byteLength);
  });

  it("takes no more than it was told, and is too short when the file is", async () => {
    expect((await bytesOf(bodyOfFile(file, 10).open())).byteLength).toBe(10);
    const put = createMemoryStore().put("name", bodyOfFile(file, content.byteLength + 1));
    await expect(put).rejects.toMatchObject({ code: "length-mismatch" });
  });
});
