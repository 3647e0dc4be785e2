import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readdir, readlink, rm, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { PutBody } from "@fleetfoot/cache-backend";
import { expect, it } from "vitest";
import { createMirror } from "../mirror.ts";

it("an upload that was given up reads nothing of a file that was opened after its own was closed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "mirror-"));
  const layer = randomBytes(4_000_000);
  const digest = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
  const server = createServer((_request, response) => void response.end(layer)).listen(0, "127.0.0.1");
  await once(server, "listening");
  let position = 0;
  const uploads: ReadableStreamDefaultReader<Uint8Array>[] = [];
  const put = async (name: string, body: PutBody): Promise<never> => {
    if (name.startsWith("blobs/")) {
      const upload = body.open().getReader();
      position = (await upload.read()).value?.byteLength ?? 0;
      // What is read ahead has come by then.
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      uploads.push(upload);
    }
    throw new Error("the store takes nothing");
  };
  const memory = createMemoryStore();
  const store = Object.assign(memory, { put, putIf: put });
  const mirror = await createMirror({
    directory,
    reserveBytes: 0,
    upstreams: { hub: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
    store,
  });
  const others: FileHandle[] = [];
  try {
    const response = await mirror.handle(new Request(`http://mirror/v2/org/app/blobs/${digest}`));
    expect((await response.bytes()).byteLength).toBe(layer.byteLength);
    while (uploads.length === 0 || (await filesBelow(directory)) > 0)
      await new Promise((resolve) => setImmediate(resolve));
    const other = join(directory, "other");
    await writeFile(other, Buffer.alloc(8_000_000, "secret"));
    for (let count = 0; count < 8; count += 1) others.push(await open(other));
    const [upload] = uploads;
    const readOn = async (): Promise<void> => {
      for (let piece = await upload?.read(); piece?.value !== undefined; piece = await upload?.read()) {
        const { value } = piece;
        expect(layer.subarray(position, position + value.byteLength).equals(value)).toBe(true);
        position += value.byteLength;
      }
    };
    await expect(readOn()).rejects.toThrow(/closed|EBADF/);
  } finally {
    for (const other of others) await other.close();
    await mirror.close();
    server.close();
    await rm(directory, { recursive: true });
  }
});

async function filesBelow(directory: string): Promise<number> {
  const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link.startsWith(join(directory, "blobs"))).length;
}
