import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Digest } from "./reference/grammar.ts";
import { blobName } from "./storage/layout.ts";
import { randomContent } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";

describe("a mirror whose disk takes its time to write down what it was given", () => {
  const layer = randomContent(100_000);
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }));
  const digest: Digest = `sha256:${createHash("sha256").update(manifest).digest("hex")}`;
  let directory: string;
  let clock: ManualClock;
  let upstream: Server;
  let mirror: ServedMirror;
  let written: PromiseWithResolvers<void>;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
    clock = createManualClock();
    upstream = createServer((request, response) => {
      const isLayer = request.url?.endsWith(layer.digest) === true;
      response.setHeader("content-type", isLayer ? "application/octet-stream" : mediaType);
      response.end(isLayer ? layer.bytes : manifest);
    }).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    mirror = await serveMirror({ directory, clock, upstreams: { hub: { url } } });
    written = Promise.withResolvers();
    const file = await open(join(directory, "any"), "w");
    const prototype = Object.getPrototypeOf(file) as FileHandle;
    await file.close();
    vi.spyOn(prototype, "sync").mockReturnValue(written.promise);
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    vi.restoreAllMocks();
    upstream.closeAllConnections();
    upstream.close();
    await rm(directory, { recursive: true, force: true });
  });

  it.each([
    { by: "tag", reference: "v1" },
    { by: "digest", reference: digest },
  ])("gives a manifest by $by at once, and stores it before it is closed", async ({ reference }) => {
    // Its bytes are to be written first.
    expect((await mirror.send(`/v2/org/app/blobs/${layer.digest}`)).body.equals(layer.bytes)).toBe(true);
    for (const result of ["miss", "hit"]) {
      const { body, headers, status } = await mirror.send(`/v2/org/app/manifests/${reference}`);
      expect([status, headers["x-cache"], body.equals(manifest)]).toEqual([200, result, true]);
    }
    expect(mirror.mirror.status().storedBlobs).toBe(0);
    const closed = mirror.mirror.close();
    written.resolve();
    await closed;
    expect((await readFile(join(directory, blobName(digest)))).equals(manifest)).toBe(true);
  });

  it("removes a manifest for good that is still to be stored", async () => {
    expect((await mirror.send("/v2/org/app/manifests/v1")).status).toBe(200);
    const purged = mirror.mirror.purge({});
    written.resolve();
    expect(await purged).toBe(2);
    await mirror.mirror.close();
    await expect(readFile(join(directory, blobName(digest)))).rejects.toThrow("ENOENT");
  });

  it("is closed in time when that never ends", async () => {
    expect((await mirror.send("/v2/org/app/manifests/v1")).status).toBe(200);
    expect((await mirror.send(`/v2/org/app/blobs/${layer.digest}`)).body.equals(layer.bytes)).toBe(true);
    const closed = mirror.mirror.close();
    await clock.advance(10_000);
    await closed;
    expect(mirror.log.filter((line) => line.includes("not everything was stored"))).toHaveLength(1);
  });
});
