import { createHash } from "node:crypto";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { manifestTypes } from "./reference/manifest.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { Answer, ServedMirror } from "./testing/serve.ts";

interface Check {
  readonly what: string;
  readonly method?: "GET" | "HEAD";
  /** Behind `/v2/conformance/repo1/`. */
  readonly path: () => string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number | readonly number[];
  readonly also?: (answer: Answer) => void;
}

const tags = ["t1", "t2", "t3", "t4"];
const unknown = `sha256:${createHash("sha256").update("hello world").digest("hex")}`;
const blobBytes = 2048;

/** The requests of the distribution specification's suite, as far as they read. @see https://github.com/opencontainers/distribution-spec/tree/main/conformance */
describeWithSystem("docker-registry", (registry) => {
  let mirror: ServedMirror;
  let image: PushedImage;

  beforeAll(async () => {
    const layers = [randomContent(blobBytes)];
    for (const tag of ["t3", "t1", "t4", "t2"]) {
      image = await pushImage(registry().endpoint, "conformance/repo1", tag, {
        layers,
        mediaType: manifestTypes.ociManifest,
      });
    }
    mirror = await serveMirror({ upstreams: { hub: { url: registry().endpoint, hosts: ["docker.io"] } } });
  });

  afterAll(() => mirror[Symbol.asyncDispose]());

  const layer = (): PushedImage["manifest"] => image.layers[0] ?? image.config;
  const blob = (): string => `blobs/${layer().digest}`;
  const manifest = (): string => `manifests/${image.manifest.digest}`;
  const hasDigest =
    (of: () => string) =>
    ({ headers }: Answer): void =>
      expect(headers["docker-content-digest"]).toBe(of());
  const ofLayer = hasDigest(() => layer().digest);
  const ofManifest = hasDigest(() => image.manifest.digest);
  const hasTags =
    (wanted: readonly string[]) =>
    ({ body }: Answer): void =>
      expect(JSON.parse(body.toString())).toEqual({ name: "conformance/repo1", tags: wanted });
  const isIndex = ({ body, headers }: Answer): void => {
    expect(headers["content-type"]).toBe(manifestTypes.ociIndex);
    expect(JSON.parse(body.toString())).toMatchObject({ schemaVersion: 2, mediaType: manifestTypes.ociIndex });
  };
  const isPart =
    (start: number, end: number) =>
    ({ body, headers }: Answer): void => {
      expect(headers["content-range"]).toBe(`bytes ${start}-${end - 1}/${blobBytes}`);
      expect(headers["content-length"]).toBe(String(end - start));
      expect(body.equals(layer().bytes.subarray(start, end))).toBe(true);
    };
  const hasCode = ({ code }: Answer): void => expect(code).toMatch(/^[A-Z_]+$/);

  const checks: readonly Check[] = [
    { what: "HEAD of an absent blob", method: "HEAD", path: () => `blobs/${unknown}`, status: 404 },
    { what: "HEAD of a blob", method: "HEAD", path: blob, status: 200, also: ofLayer },
    { what: "GET of an absent blob", path: () => `blobs/${unknown}`, status: 404, also: hasCode },
    { what: "GET of a blob", path: blob, status: 200, also: ofLayer },
    { what: "HEAD of an illegal tag", method: "HEAD", path: () => "manifests/.INVALID_MANIFEST_NAME", status: 404 },
    { what: "HEAD of a manifest", method: "HEAD", path: manifest, status: 200, also: ofManifest },
    { what: "HEAD of a manifest, again", method: "HEAD", path: manifest, status: 200, also: ofManifest },
    { what: "HEAD of a tag", method: "HEAD", path: () => "manifests/t2", status: 200, also: ofManifest },
    { what: "GET of an illegal tag", path: () => "manifests/.INVALID_MANIFEST_NAME", status: 404, also: hasCode },
    { what: "GET of a manifest", path: manifest, status: 200, also: ofManifest },
    { what: "GET of a manifest, again", path: manifest, status: 200, also: ofManifest },
    { what: "GET of a tag", path: () => "manifests/t2", status: 200, also: ofManifest },
    {
      what: "GET of a malformed digest",
      path: () => "manifests/sha256:totallywrong",
      status: [400, 404],
      also: hasCode,
    },
    {
      what: "GET of a blob by a malformed digest",
      path: () => "blobs/sha256:baddigeststring",
      status: [400, 404],
      also: hasCode,
    },
    { what: "the list of tags", path: () => "tags/list", status: 200, also: hasTags(tags) },
    {
      what: "the list of tags after the half",
      path: () => "tags/list?last=t2",
      status: 200,
      also: hasTags(["t3", "t4"]),
    },
    { what: "no tags", path: () => "tags/list?n=0", status: 200, also: hasTags([]) },
    { what: "one tag", path: () => "tags/list?n=1", status: 200, also: hasTags(["t1"]) },
    { what: "referrers of an unknown digest", path: () => `referrers/${unknown}`, status: 200, also: isIndex },
    { what: "referrers", path: () => `referrers/${image.manifest.digest}`, status: 200, also: isIndex },
    {
      what: "filtered referrers",
      path: () => `referrers/${image.manifest.digest}?artifactType=application/x`,
      status: 200,
      also: (answer) => {
        isIndex(answer);
        expect(answer.headers["oci-filters-applied"]).toBe("artifactType");
      },
    },
    { what: "an unknown manifest", path: () => `manifests/${unknown}`, status: 404, also: hasCode },
    { what: "an unknown tag", path: () => "manifests/missing-tag", status: 404, also: hasCode },
    { what: "a part", path: blob, headers: { range: "bytes=500-1499" }, status: 206, also: isPart(500, 1500) },
    { what: "a part to the end", path: blob, headers: { range: "bytes=500-" }, status: 206, also: isPart(500, 2048) },
    { what: "the last bytes", path: blob, headers: { range: "bytes=-500" }, status: 206, also: isPart(1548, 2048) },
    {
      what: "a part beyond the end",
      path: blob,
      headers: { range: "bytes=2000-5000" },
      status: 206,
      also: isPart(2000, 2048),
    },
    {
      what: "a part that ends before it begins",
      path: blob,
      headers: { range: "bytes=500-0" },
      status: 416,
      also: hasCode,
    },
    { what: "a part after the end", path: blob, headers: { range: "bytes=5000-10000" }, status: 416, also: hasCode },
  ];

  it.each(checks)("RM C12: answers $what as the specification's suite wants it", async (check) => {
    const { also, headers = {}, method = "GET", path, status } = check;
    const accept = `${manifestTypes.ociIndex}, ${manifestTypes.ociManifest}`;
    const answer = await mirror.send(`/v2/conformance/repo1/${path()}`, { method, headers: { accept, ...headers } });
    expect([status].flat()).toContain(answer.status);
    if (method === "HEAD") expect(answer.body.byteLength).toBe(0);
    also?.(answer);
  });

  it("RM C12: answers a ping as the specification's suite wants it", async () => {
    expect((await mirror.send("/v2/")).status).toBe(200);
  });
});
