import { once } from "node:events";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { request } from "undici";
import { describe, expect, it } from "vitest";
import { bodyOfFile } from "./file-body.ts";
import { readChunks } from "./bodies.ts";
import { chunksToSend } from "./send.ts";
import { counted } from "./testing/index.ts";

const content = counted(5_000_000);

describe("chunks that undici sends", () => {
  it("arrive as they were, though their memory is used again, however slowly they are taken", async () => {
    const directory = await mkdtemp(join(tmpdir(), "send-"));
    const received: Buffer[] = [];
    async function takeSlowly(incoming: IncomingMessage): Promise<void> {
      for await (const chunk of incoming) {
        received.push(chunk as Buffer);
        for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      }
    }
    const server = createServer((incoming, answer) => {
      void takeSlowly(incoming).finally(() => answer.end());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await writeFile(join(directory, "file"), content);
    const file = await open(join(directory, "file"));
    const buffers = new Set<ArrayBufferLike>();
    async function* watched(): AsyncGenerator<Uint8Array, void, void> {
      for await (const chunk of readChunks(bodyOfFile(file, content.byteLength).open())) {
        buffers.add(chunk.buffer);
        yield chunk;
      }
    }
    try {
      const { body } = await request(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, {
        method: "PUT",
        headers: { "content-length": String(content.byteLength) },
        // A clock that stands still: nothing is slow.
        body: chunksToSend(watched(), () => 0) as unknown as string,
      });
      await body.dump();
    } finally {
      await file.close();
      server.close();
      await rm(directory, { recursive: true });
    }
    expect(Buffer.compare(Buffer.concat(received), content)).toBe(0);
    // The first one was sent in pieces.
    expect(buffers.size).toBe(2);
  });

  it("are little at a time while a connection is slow, or not known to be fast, so that it is not taken for silent", async () => {
    let nowMs = 0;
    const sent: number[] = [];
    const chunk = new Uint8Array(512 * 1024);
    async function* fourChunks(): AsyncGenerator<Uint8Array, void, void> {
      for (let count = 0; count < 4; count += 1) yield chunk;
    }
    // From the second chunk on the connection takes four kilobytes in a second, and then it is fast again.
    for await (const { byteLength } of chunksToSend(fourChunks(), () => nowMs)) {
      if (sent.length >= 8 && sent.length < 16) nowMs += byteLength / 4;
      sent.push(byteLength);
    }
    const inSlices = Array.from({ length: 8 }, () => 64 * 1024);
    expect(sent).toEqual([...inSlices, chunk.byteLength, ...inSlices, ...inSlices]);
  });

  it("keep their memory when they are too short to tell when they are sent", async () => {
    const directory = await mkdtemp(join(tmpdir(), "send-"));
    await writeFile(join(directory, "file"), content);
    const file = await open(join(directory, "file"));
    try {
      const body = bodyOfFile(file, content.byteLength);
      const first: Uint8Array[] = [];
      for await (const chunk of chunksToSend(readChunks(body.openRange?.(0, 1000) ?? body.open()))) first.push(chunk);
      for await (const _ of readChunks(body.openRange?.(1000, 600_000) ?? body.open()));
      expect(Buffer.compare(Buffer.concat(first), content.subarray(0, 1000))).toBe(0);
    } finally {
      await file.close();
      await rm(directory, { recursive: true });
    }
  });
});
