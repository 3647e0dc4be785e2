import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blobName } from "./storage/layout.ts";
import { randomContent } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";

const run = promisify(execFile);

describe("a mirror whose disk does not answer", () => {
  const layers = Array.from({ length: 8 }, () => randomContent(100_000));
  let directory: string;
  let upstream: Server;
  let mirror: ServedMirror;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
    upstream = createServer((request, response) => {
      const layer = layers.find(({ digest }) => request.url?.endsWith(digest) === true);
      response.writeHead(200, { "content-length": layer?.bytes.byteLength ?? 0 }).end(layer?.bytes);
    }).listen(0, "localhost");
    await once(upstream, "listening");
    // A name, so that it has to be looked up.
    const url = `http://localhost:${(upstream.address() as AddressInfo).port}`;
    mirror = await serveMirror({ directory, upstreams: { hub: { url } } });
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    upstream.closeAllConnections();
    upstream.close();
    await rm(directory, { recursive: true, force: true });
  });

  const pathOf = (index: number): string => `/v2/org/app/blobs/${layers[index]?.digest}`;

  // The end of a pipe that nobody writes to lets an open hang, as a file of a server that is gone does.
  it("gives what it has stored from the upstream, also to more clients than the process has threads for files", async () => {
    const files: string[] = [];
    for (const [index, { bytes, digest }] of layers.entries()) {
      expect((await mirror.send(pathOf(index))).body.equals(bytes)).toBe(true);
      while (mirror.metric("fills_running") > 0) await new Promise((resolve) => setImmediate(resolve));
      const file = join(directory, blobName(digest));
      await rm(file);
      await run("mkfifo", [file]);
      files.push(file);
    }
    const answers = await Promise.all(layers.map((_layer, index) => mirror.send(pathOf(index))));
    for (const [index, { body, isCut, status }] of answers.entries())
      expect([status, isCut, body.equals(layers[index]?.bytes ?? Buffer.alloc(0))]).toEqual([200, false, true]);
    for (const file of files) await (await open(file, "r+")).close();
    const { body } = await mirror.send(pathOf(0));
    expect(body.equals(layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
  }, 60_000);
});
