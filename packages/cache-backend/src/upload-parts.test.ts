import { describe, expect, it } from "vitest";
import { CacheStoreError } from "./errors.ts";
import type { PutBody, TransferProgress } from "./store.ts";
import { bodyOf, counted, streamOf } from "./testing/index.ts";
import { uploadParts } from "./upload-parts.ts";
import type { BodyPart, UploadPartsOptions } from "./upload-parts.ts";

const call = { store: "test", operation: "put", object: "name" };
const content = counted(1050);
const sleep = async (): Promise<void> => {};

function anywhere(bytes: Uint8Array): PutBody & { readonly opened: [number, number][] } {
  const opened: [number, number][] = [];
  const openRange = (start: number, end: number): ReadableStream<Uint8Array> => {
    opened.push([start, end]);
    return streamOf([bytes.subarray(start, end)]);
  };
  return { bytes: bytes.byteLength, open: () => streamOf([bytes]), openRange, opened };
}

async function read(part: BodyPart, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of part.chunks(signal)) chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

function unavailable(): CacheStoreError {
  return new CacheStoreError({ code: "unavailable", ...call, reason: "not now" });
}

async function upload(body: PutBody, options: Partial<UploadPartsOptions> = {}): Promise<Buffer> {
  const parts = await uploadParts(body, call, read, { partBytes: 100, sleep, ...options });
  return Buffer.concat(parts);
}

describe("uploadParts", () => {
  it.each([1, 99, 100, 101, 1050, 2000])("sends the whole body, in order, in parts of %i bytes", async (partBytes) => {
    for (const body of [anywhere(content), bodyOf(content)]) {
      expect(Buffer.compare(await upload(body, { partBytes }), content)).toBe(0);
    }
  });

  it("sends an empty body as one empty part", async () => {
    for (const body of [anywhere(new Uint8Array()), bodyOf("")]) {
      expect(await uploadParts(body, call, read, { partBytes: 100 })).toEqual([Buffer.alloc(0)]);
    }
  });

  it("sends so many parts at once, and no more", async () => {
    let now = 0;
    let most = 0;
    const send = async (part: BodyPart, signal: AbortSignal): Promise<void> => {
      now += 1;
      most = Math.max(most, now);
      await read(part, signal);
      now -= 1;
    };
    await uploadParts(anywhere(content), call, send, { partBytes: 100, concurrency: 3, sleep });
    expect(most).toBe(3);
  });

  it("sends a part again by itself, opened anew or from memory, and takes its bytes back from the progress", async () => {
    for (const body of [anywhere(content), bodyOf(content)]) {
      let failures = 2;
      const progress: TransferProgress[] = [];
      const parts = await uploadParts(
        body,
        call,
        async (part, signal) => {
          const bytes = await read(part, signal);
          if (part.index === 3 && failures > 0) {
            failures -= 1;
            throw unavailable();
          }
          return bytes;
        },
        { partBytes: 100, concurrency: 1, sleep, onProgress: (told) => progress.push(told) },
      );
      expect(Buffer.compare(Buffer.concat(parts), content)).toBe(0);
      expect(progress.map(({ bytes }) => bytes)).toEqual([
        100, 200, 300, 400, 400, 400, 500, 600, 700, 800, 900, 1000, 1050,
      ]);
    }
  });

  it("gives up after its tries, ends the other parts, and tells the first failure", async () => {
    const ended: unknown[] = [];
    const send = async (part: BodyPart, signal: AbortSignal): Promise<void> => {
      if (part.index === 1) throw unavailable();
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      }).catch((error: unknown) => {
        ended.push(error);
        throw error;
      });
    };
    const sent = uploadParts(anywhere(content), call, send, { partBytes: 100, concurrency: 3, maxAttempts: 2, sleep });
    await expect(sent).rejects.toMatchObject({ code: "unavailable" });
    expect(ended).toHaveLength(2);
  });

  it.each([
    { how: "short", body: { bytes: 1051, open: () => streamOf([content]) } },
    { how: "long", body: { bytes: 1049, open: () => streamOf([content]) } },
    { how: "short, though it can be opened anywhere", body: { ...anywhere(content.subarray(0, 1040)), bytes: 1050 } },
  ])("says so when the body is too $how, and does not try that again", async ({ body }) => {
    await expect(upload(body)).rejects.toMatchObject({ code: "length-mismatch" });
  });

  it("tells why the body failed, whatever the transport makes of it", async () => {
    const error = new Error("the disk broke");
    const body = { bytes: 1050, open: () => streamOf([content.subarray(0, 450)], { error }) };
    const send = async (part: BodyPart, signal: AbortSignal): Promise<void> => {
      await read(part, signal).catch(() => {
        throw unavailable();
      });
    };
    await expect(uploadParts(body, call, send, { partBytes: 100, sleep })).rejects.toBe(error);
  });

  it("rejects with the signal's reason, also when it was aborted before", async () => {
    const reason = new Error("no longer wanted");
    await expect(upload(anywhere(content), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const stalled = { bytes: 1050, open: () => streamOf([content.subarray(0, 150)], { stalls: true }) };
    const sent = upload(stalled, { signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(sent).rejects.toBe(reason);
  });
});
