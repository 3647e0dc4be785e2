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
        body: chunksToSend(watched()) as unknown as string,
      });
      await body.dump();
    } finally {
      await file.close();
      server.close();
      await rm(directory, { recursive: true });
    }
    expect(Buffer.compare(Buffer.concat(received), content)).toBe(0);
    expect(buffers.size).toBe(1);
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
