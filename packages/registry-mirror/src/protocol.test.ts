import { readdir } from "node:fs/promises";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifestTypes } from "./reference/manifest.ts";
import { contentOf, pushImage, pushManifest, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const layerBytes = 2_000_000;

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let mirror: ServedMirror;
  let image: PushedImage;

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    clock = createManualClock();
    mirror = await serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } }, clock });
    image = await pushImage(registry().endpoint, "library/app", "v1", {
      layers: [randomContent(1000), randomContent(layerBytes)],
    });
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  const layerPath = (): string => `/v2/library/app/blobs/${image.layers[1]?.digest}`;

  it("RM P1: answers a ping without the upstream", async () => {
    await tap.goDown();
    const answer = await mirror.send("/v2/");
    expect([answer.status, answer.body.toString()]).toEqual([200, "{}"]);
    expect(answer.headers).toMatchObject({
      "docker-distribution-api-version": "registry/2.0",
      "content-type": "application/json",
    });
    expect(tap.take()).toEqual([]);
  });

  it("RM P2, RM P3, RM P4: costs one HEAD for a tag and one GET for its manifest, and then nothing", async () => {
    const { bytes, digest } = image.manifest;
    const head = await mirror.send("/v2/library/app/manifests/v1", { method: "HEAD" });
    expect([head.status, head.body.byteLength]).toEqual([200, 0]);
    expect(head.headers).toMatchObject({
      "content-length": String(bytes.byteLength),
      "docker-content-digest": digest,
      "content-type": manifestTypes.dockerManifest,
      etag: `"${digest}"`,
    });
    expect(tap.take()).toEqual(["HEAD /v2/library/app/manifests/v1"]);
    const get = await mirror.send(`/v2/library/app/manifests/${digest}`);
    expect([get.status, get.body.equals(bytes)]).toEqual([200, true]);
    expect(tap.take()).toEqual([`GET /v2/library/app/manifests/${digest}`]);
    await tap.goDown();
    const again = await mirror.send(`/v2/library/app/manifests/${digest}`);
    expect([again.status, again.headers["x-cache"], again.body.equals(bytes)]).toEqual([200, "hit", true]);
    expect(tap.take()).toEqual([]);
  });

  it("RM P5: answers 304 to every form of an entity tag", async () => {
    const ask = async (tag: string): Promise<readonly number[]> => {
      const { body, status } = await mirror.send("/v2/library/app/manifests/v1", { headers: { "if-none-match": tag } });
      return [status, body.byteLength];
    };
    const { bytes, digest } = image.manifest;
    expect(await ask(`"${digest}"`)).toEqual([304, 0]);
    expect(await ask(digest)).toEqual([304, 0]);
    expect(await ask(`"x", W/"${digest}"`)).toEqual([304, 0]);
    expect(await ask(`"sha256:${"0".repeat(64)}"`)).toEqual([200, bytes.byteLength]);
  });

  it("RM P6: sends a manifest as the type it has, or not at all", async () => {
    await pushImage(registry().endpoint, "library/oci", "v1", { mediaType: manifestTypes.ociManifest });
    const ask = (
      accept: string | undefined,
    ): Promise<{ status: number; code: string | undefined; body: Buffer; headers: object }> =>
      mirror.send("/v2/library/oci/manifests/v1", { headers: accept === undefined ? {} : { accept } });
    for (const accept of ["*/*", undefined, "application/*;q=0.5"]) {
      expect(await ask(accept)).toMatchObject({ status: 200, headers: { "content-type": manifestTypes.ociManifest } });
    }
    const refused = await ask(manifestTypes.dockerManifest);
    expect(refused).toMatchObject({ status: 404, code: "MANIFEST_UNKNOWN" });
    expect(refused.body.toString()).toContain(manifestTypes.ociManifest);
    for (const { headers } of tap.requests) {
      for (const type of Object.values(manifestTypes)) expect(headers.accept).toContain(type);
    }
  });

  it("RM P7: answers HEAD for a blob with one HEAD", async () => {
    const head = await mirror.send(layerPath(), { method: "HEAD" });
    expect([head.status, head.headers["content-length"], head.body.byteLength]).toEqual([200, String(layerBytes), 0]);
    expect(head.headers["docker-content-digest"]).toBe(image.layers[1]?.digest);
    expect(tap.take()).toEqual([`HEAD ${layerPath()}`]);
  });

  it("RM P8: serves a part of a blob that is not cached, and stores all of it", async () => {
    const part = await mirror.send(layerPath(), { headers: { range: "bytes=100-199" } });
    expect([part.status, part.headers["content-range"], part.headers["content-length"]]).toEqual([
      206,
      `bytes 100-199/${layerBytes}`,
      "100",
    ]);
    expect(part.body.equals(image.layers[1]?.bytes.subarray(100, 200) ?? Buffer.alloc(0))).toBe(true);
    const whole = await mirror.send(layerPath());
    expect(whole.body.equals(image.layers[1]?.bytes ?? Buffer.alloc(0))).toBe(true);
    expect(tap.take()).toEqual([`GET ${layerPath()}`]);
  });

  it("RM P9: refuses a range that is not there, on a connection that stays usable", async () => {
    await mirror.send(layerPath());
    for (const range of ["bytes=500-0", `bytes=${layerBytes}-`]) {
      const answer = await mirror.send(layerPath(), { headers: { range } });
      expect([answer.status, answer.headers["content-range"]]).toEqual([416, `bytes */${layerBytes}`]);
      expect(answer.headers["content-length"]).toBe(String(answer.body.byteLength));
      expect(answer.code).toBeDefined();
    }
    for (const [range, start, end] of [
      ["bytes=-500", layerBytes - 500, layerBytes],
      ["bytes=500-1499", 500, 1500],
      ["bytes=1999000-9999999", 1_999_000, layerBytes],
    ] as const) {
      const answer = await mirror.send(layerPath(), { headers: { range } });
      expect([answer.status, answer.headers["content-range"]]).toEqual([
        206,
        `bytes ${start}-${end - 1}/${layerBytes}`,
      ]);
      expect(answer.body.equals(image.layers[1]?.bytes.subarray(start, end) ?? Buffer.alloc(0))).toBe(true);
    }
  });

  it.each([
    ["/v2/library/app/blobs/sha256:zz", 400, "DIGEST_INVALID"],
    ["/v2/library/app/manifests/sha256:totallywrong", 400, "DIGEST_INVALID"],
    ["/v2/Library/app/manifests/v1", 404, "NAME_INVALID"],
    ["/v2/library/../../etc/manifests/x", 404, "NAME_INVALID"],
    ["/v2/library%2f..%2f../manifests/x", 404, "NAME_INVALID"],
    ["/v2/library/app/manifests/.INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"],
    ["/v1/library/app", 404, "UNSUPPORTED"],
  ])("RM P10, RM P11: refuses %s without asking anybody", async (target, status, code) => {
    const before = await readdir(mirror.directory, { recursive: true });
    expect(await mirror.send(target)).toMatchObject({ status, code });
    expect(tap.take()).toEqual([]);
    expect(await readdir(mirror.directory, { recursive: true })).toEqual(before);
  });

  it("RM P12: takes words of the protocol for parts of names where they are", async () => {
    for (const [name, tag] of [
      ["team/blobs", "latest"],
      ["a/tags/list", "x"],
    ] as const) {
      const pushed = await pushImage(registry().endpoint, name, tag);
      const answer = await mirror.send(`/v2/${name}/manifests/${tag}`);
      expect(answer.body.equals(pushed.manifest.bytes)).toBe(true);
      const layer = await mirror.send(`/v2/${name}/blobs/${pushed.layers[0]?.digest}`);
      expect(layer.body.equals(pushed.layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
    }
  });

  it("RM P13: says what is unknown, without a body to HEAD", async () => {
    const digest = `sha256:${"1".repeat(64)}`;
    for (const [path, code] of [
      ["manifests/nope", "MANIFEST_UNKNOWN"],
      [`manifests/${digest}`, "MANIFEST_UNKNOWN"],
      [`blobs/${digest}`, "BLOB_UNKNOWN"],
    ] as const) {
      expect(await mirror.send(`/v2/library/app/${path}`)).toMatchObject({ status: 404, code });
      const head = await mirror.send(`/v2/library/app/${path}`, { method: "HEAD" });
      expect([head.status, head.body.byteLength]).toEqual([404, 0]);
    }
  });

  it("RM P14: refuses every write before it has read it", async () => {
    const before = await readdir(mirror.directory, { recursive: true });
    for (const [method, path] of [
      ["POST", "blobs/uploads/"],
      ["PATCH", "blobs/uploads/x"],
      ["DELETE", "manifests/v1"],
      ["DELETE", `blobs/${image.config.digest}`],
    ] as const) {
      const answer = await mirror.send(`/v2/library/app/${path}`, { method });
      expect([answer.status, answer.headers["allow"], answer.code]).toEqual([405, "GET, HEAD", "UNSUPPORTED"]);
    }
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536;
        if (sent > 100_000_000) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
      },
    });
    const put = await fetch(`${mirror.url}/v2/library/app/manifests/x`, {
      method: "PUT",
      body,
      duplex: "half",
    });
    expect(put.status).toBe(405);
    expect(sent).toBeLessThan(50_000_000);
    expect(tap.take()).toEqual([]);
    expect(await readdir(mirror.directory, { recursive: true })).toEqual(before);
  });

  it("RM P15: sorts tags, and pages them with links to itself", async () => {
    for (const tag of ["c", "a", "e", "b", "d"]) await pushImage(registry().endpoint, "library/tagged", tag);
    const ask = async (query: string): Promise<readonly unknown[]> => {
      const { body, headers } = await mirror.send(`/v2/library/tagged/tags/list${query}`);
      return [(JSON.parse(body.toString()) as { tags: string[] }).tags, headers["link"]];
    };
    expect(await ask("")).toEqual([["a", "b", "c", "d", "e"], undefined]);
    expect(await ask("?n=2")).toEqual([["a", "b"], `</v2/library/tagged/tags/list?n=2&last=b>; rel="next"`]);
    expect(await ask("?n=2&last=b")).toEqual([["c", "d"], `</v2/library/tagged/tags/list?n=2&last=d>; rel="next"`]);
    expect(await ask("?n=0")).toEqual([[], undefined]);
    expect(tap.take()).toHaveLength(1);
  });

  it("RM P16: knows referrers of an upstream that has no such API", async () => {
    const { digest } = image.manifest;
    const none = await mirror.send(`/v2/library/app/referrers/${digest}`);
    expect([none.status, none.headers["content-type"]]).toEqual([200, manifestTypes.ociIndex]);
    expect(JSON.parse(none.body.toString())).toEqual({
      schemaVersion: 2,
      mediaType: manifestTypes.ociIndex,
      manifests: [],
    });

    const signature = await pushImage(registry().endpoint, "library/app", "signature", {
      mediaType: manifestTypes.ociManifest,
    });
    const entry = {
      mediaType: manifestTypes.ociManifest,
      digest: signature.manifest.digest,
      size: signature.manifest.bytes.byteLength,
      artifactType: "application/example",
    };
    const index = contentOf(
      JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests: [entry] }),
    );
    await pushManifest(registry().endpoint, "library/app", digest.replace(":", "-"), index, manifestTypes.ociIndex);
    await clock.advance(61_000);
    const some = await mirror.send(`/v2/library/app/referrers/${digest}`);
    expect(JSON.parse(some.body.toString())).toMatchObject({ manifests: [entry] });
    const filtered = await mirror.send(`/v2/library/app/referrers/${digest}?artifactType=other%2Ftype`);
    expect([JSON.parse(filtered.body.toString()), filtered.headers["oci-filters-applied"]]).toMatchObject([
      { manifests: [] },
      "artifactType",
    ]);
  });

  it("RM P17: lists the repositories that are cached, and asks nobody", async () => {
    await pushImage(registry().endpoint, "library/other", "v1");
    await mirror.send("/v2/library/app/manifests/v1");
    tap.take();
    const answer = await mirror.send("/v2/_catalog");
    expect(JSON.parse(answer.body.toString())).toEqual({ repositories: ["library/app"] });
    expect(tap.take()).toEqual([]);
  });

  describe("as a handler of fetch", () => {
    it("answers with the same bytes and headers", async () => {
      const response = await mirror.mirror.handle(new Request(`http://mirror.example${layerPath()}`));
      expect([response.status, response.headers.get("content-length")]).toEqual([200, String(layerBytes)]);
      expect(Buffer.from(await response.arrayBuffer()).equals(image.layers[1]?.bytes ?? Buffer.alloc(0))).toBe(true);
      const head = await mirror.mirror.handle(new Request(`http://mirror.example${layerPath()}`, { method: "HEAD" }));
      expect([head.status, head.headers.get("content-length"), head.body]).toEqual([200, String(layerBytes), null]);
    });
  });
});
