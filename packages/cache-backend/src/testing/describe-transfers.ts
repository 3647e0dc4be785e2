import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { downloadToFile } from "../download.ts";
import type { CacheStore, PutBody, TransferProgress } from "../store.ts";
import { bodyOf, counted, readBytes, streamOf } from "./bodies.ts";

const mebibyte = 1024 * 1024;

/** Transfers of objects that are longer than one part, by two writers, by many readers, and half-way. */
export function describeTransfers(store: () => CacheStore, inParts: boolean): void {
  const large = counted(40 * mebibyte);

  it("keeps an object of many parts, from a body that can be opened anywhere", async () => {
    const progress: TransferProgress[] = [];
    const put = await store().put("large", anywhere(large), {
      metadata: { cachekey: "large" },
      onProgress: (now) => progress.push(now),
    });
    expect(progress.at(-1)).toEqual({ bytes: large.byteLength, totalBytes: large.byteLength });
    const object = await store().get("large");
    expect(object?.facts).toMatchObject({
      bytes: large.byteLength,
      metadata: { cachekey: "large" },
      version: put.version,
    });
    expect(Buffer.compare((await readBytes(object)) ?? new Uint8Array(), large)).toBe(0);
  });

  it.each([
    { partBytes: 8 * mebibyte, concurrency: 1 },
    { partBytes: 20 * mebibyte, concurrency: 2 },
  ])("sends parts of the length that is asked for, and no more of them at once: %o", async (asked) => {
    const lengths = new Set<number>();
    let open = 0;
    let most = 0;
    async function* counted(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
      most = Math.max(most, (open += 1));
      try {
        yield* pieces;
      } finally {
        open -= 1;
      }
    }
    const body: PutBody = {
      ...anywhere(large),
      openRange: (start, end) => {
        lengths.add(end - start);
        return ReadableStream.from(counted(slices(large.subarray(start, end))));
      },
    };
    await store().put("large", body, asked);
    expect([...lengths]).toEqual(inParts ? [asked.partBytes] : []);
    expect(most).toBeLessThanOrEqual(asked.concurrency);
    expect((await store().head("large"))?.bytes).toBe(large.byteLength);
  });

  it("downloads an object of many parts, several parts at once, into a file", async () => {
    await store().put("large", inPieces(large));
    const folder = await mkdtemp(join(tmpdir(), "transfers-"));
    try {
      const progress: TransferProgress[] = [];
      const { outcome } = await downloadToFile(store(), "large", join(folder, "file"), {
        concurrency: 4,
        chunkBytes: 8 * mebibyte,
        onProgress: (now) => progress.push(now),
      });
      expect(outcome).toBe("downloaded");
      expect(progress.at(-1)).toEqual({ bytes: large.byteLength, totalBytes: large.byteLength });
      expect(Buffer.compare(await readFile(join(folder, "file")), large)).toBe(0);
      expect(await readdir(folder)).toEqual(["file"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("leaves the old object when one of many parts breaks off, is missing, or is one too many", async () => {
    await store().put("name", bodyOf("old"));
    const error = new Error("the disk broke");
    const part = new Uint8Array(9 * mebibyte);
    const bytes = 4 * part.byteLength;
    const bodies = [
      streamOf([part, part, part], { error }),
      streamOf([part, part, part]),
      streamOf([part, part, part, part, part]),
    ];
    for (const body of bodies) await expect(store().put("name", { bytes, open: () => body })).rejects.toThrow();
    expect((await store().head("name"))?.bytes).toBe(3);
  });

  it("leaves nothing of an object of many parts that is aborted half-way", async () => {
    const reason = new Error("no longer wanted");
    const abort = new AbortController();
    const put = store().put("large", inPieces(large), {
      signal: abort.signal,
      onProgress: ({ bytes }) => {
        if (bytes > 4 * mebibyte) abort.abort(reason);
      },
    });
    await expect(put).rejects.toBe(reason);
    expect(await store().head("large")).toBeUndefined();
  });

  it("keeps one of two objects of many parts that are put at the same time", async () => {
    const bodies = [large, counted(33 * mebibyte).fill(7, 0, 1000)];
    await Promise.all(bodies.map((bytes) => store().put("contended", anywhere(bytes))));
    const read = (await readBytes(await store().get("contended"))) ?? new Uint8Array();
    expect(bodies.some((bytes) => Buffer.compare(bytes, read) === 0)).toBe(true);
  });

  it("gives many readers at the same time the same object", async () => {
    const content = counted(3 * mebibyte);
    await store().put("read", bodyOf(content));
    const read = async (): Promise<boolean> => {
      const bytes = (await readBytes(await store().get("read"))) ?? new Uint8Array();
      return Buffer.compare(bytes, content) === 0;
    };
    expect(await Promise.all(Array.from({ length: 16 }, read))).toEqual(Array.from({ length: 16 }, () => true));
  });
}

function anywhere(content: Uint8Array): PutBody {
  return {
    bytes: content.byteLength,
    open: () => streamOf([content]),
    openRange: (start, end) => streamOf(slices(content.subarray(start, end))),
  };
}

function inPieces(content: Uint8Array): PutBody {
  return { bytes: content.byteLength, open: () => streamOf(slices(content)) };
}

function slices(content: Uint8Array): Uint8Array[] {
  const length = 300_000;
  return Array.from({ length: Math.ceil(content.byteLength / length) }, (_, index) =>
    content.subarray(index * length, (index + 1) * length),
  );
}
