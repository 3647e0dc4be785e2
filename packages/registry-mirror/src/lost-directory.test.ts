import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createMirror } from "./mirror.ts";
import { blobName } from "./storage/layout.ts";
import { randomContent } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";

describe("a mirror whose directory is removed while it runs", () => {
  const layers = Array.from({ length: 3 }, () => randomContent(100_000));
  let parent: string;
  let directory: string;
  let upstream: Server;
  let url: string;
  let clock: ManualClock;
  let mirror: ServedMirror;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), "mirror-"));
    directory = join(parent, "data");
    clock = createManualClock();
    upstream = createServer((request, response) => {
      const layer = layers.find(({ digest }) => request.url?.endsWith(digest) === true);
      response.writeHead(200, { "content-length": layer?.bytes.byteLength ?? 0 }).end(layer?.bytes);
    }).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    mirror = await serveMirror({ directory, upstreams: { hub: { url } }, clock });
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    upstream.closeAllConnections();
    upstream.close();
    await rm(parent, { recursive: true, force: true });
  });

  async function pull(index: number): Promise<void> {
    const { body } = await mirror.send(`/v2/org/app/blobs/${layers[index]?.digest}`);
    expect(body.equals(layers[index]?.bytes ?? Buffer.alloc(0))).toBe(true);
    while (mirror.metric("fills_running") > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  const filesOf = async (index: number): Promise<readonly string[]> =>
    readdir(join(directory, blobName(layers[index]?.digest ?? "sha256:"), "..")).catch(() => []);

  it.each(["", "blobs", "tmp", "meta"])("goes on storing: %j", async (part) => {
    await pull(0);
    // What is written down in the background would come between.
    await mirror.mirror.tidy();
    await rm(join(directory, part), { recursive: true });
    await pull(1);
    await pull(0);
    expect([await filesOf(0), await filesOf(1)].map(({ length }) => length)).toEqual([1, 1]);
    expect(mirror.mirror.status()).toMatchObject({ diskProblem: undefined, storedBlobs: 2, storedBytes: 200_000 });
    await mirror.mirror.tidy();
    expect(await readdir(join(directory, "tmp"))).toEqual([]);
    // It is still this mirror's alone.
    await expect(createMirror({ directory, upstreams: { hub: { url } } })).rejects.toMatchObject({
      code: "directory-in-use",
    });
  });

  it("says so while it cannot be made anew, and stores again when it can", async () => {
    await rm(directory, { recursive: true });
    await writeFile(directory, "a file in its place");
    await pull(0);
    expect(mirror.mirror.status().diskProblem).toMatch(/EEXIST|ENOTDIR/);
    expect(mirror.log.filter((line) => line.startsWith("error nothing can be stored"))).toHaveLength(1);
    const stop = new AbortController();
    const maintained = mirror.mirror.maintain(stop.signal);
    await rm(directory);
    while (mirror.mirror.status().diskProblem !== undefined) await clock.advance(10_000);
    stop.abort();
    await maintained;
    expect(mirror.log.some((line) => line.startsWith("info blobs are stored again"))).toBe(true);
    await pull(0);
    expect(await filesOf(0)).toHaveLength(1);
  });

  it("leaves it to a mirror that has made it anew and has it now", async () => {
    await rm(directory, { recursive: true });
    const other = await createMirror({ directory, reserveBytes: 0, upstreams: { hub: { url } } });
    await mkdir(join(directory, "blobs"), { recursive: true });
    const stop = new AbortController();
    const maintained = mirror.mirror.maintain(stop.signal);
    while (mirror.mirror.status().diskProblem === undefined) await clock.advance(10_000);
    expect(mirror.mirror.status().diskProblem).toContain("is in use by process");
    await pull(0);
    expect(await readdir(join(directory, "blobs"))).toEqual([]);
    await other.close();
    while (mirror.mirror.status().diskProblem !== undefined) await clock.advance(10_000);
    stop.abort();
    await maintained;
    await pull(1);
    expect(await filesOf(1)).toHaveLength(1);
  });
});
