import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { noopLogger } from "../logger.ts";
import type { Digest } from "../reference/grammar.ts";
import { readRegistries } from "../routing/registries.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { Records } from "./records.ts";

const manifest: Digest = `sha256:${"a".repeat(64)}`;
const layer: Digest = `sha256:${"b".repeat(64)}`;
const facts = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  children: [{ digest: layer, bytes: 5, kind: "blob" }],
} as const;
const tag = { digest: manifest, mediaType: facts.mediaType, bytes: 9, checkedAtMs: 1, fetchedAtMs: 1 };

let directory: string;
let changes: string[];
let records: Records;
let image: UpstreamImage;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "mirror-records-"));
  const { upstreams } = readRegistries({ upstreams: { hub: { url: "https://registry.example" } } });
  const upstream = upstreams.get("hub");
  if (upstream === undefined) throw new Error("there is no upstream");
  image = { upstream, name: "org/app" };
  changes = [];
  records = await Records.open({
    directory,
    disk: { removeFile: async () => {}, writeWhole: async () => {} },
    logger: noopLogger,
    now: () => 0,
    upstreams: [upstream],
    onChange: (name) => changes.push(name),
  });
});

afterEach(() => rm(directory, { recursive: true }));

it("withdraws a name once, and again only when something of it was open in between", () => {
  records.setTag(image, "v1", { ...tag, openTo: "anybody" });
  records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "mirror" });
  expect(records.openingOf(image, layer)).toBe("mirror");
  changes = [];
  expect(records.withdraw(image)).toBe(true);
  expect(records.openingOf(image, layer)).toBeUndefined();
  expect(records.tag(image, "v1")?.openTo).toBeUndefined();
  expect(changes).toHaveLength(2);
  expect(records.withdraw(image)).toBe(false);
  expect(changes).toHaveLength(2);
  records.adopt(image, { tag: "v1" }, JSON.stringify({ ...tag, checkedAtMs: 2, openTo: "anybody" }));
  expect(records.withdraw(image)).toBe(true);
  expect(records.tag(image, "v1")?.openTo).toBeUndefined();
});

it("withdraws nothing of a name that was never open to more than single clients", () => {
  records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "clients" });
  expect(records.withdraw(image)).toBe(false);
});

it("withdraws what manifests listed that were open before", () => {
  records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "anybody" });
  records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "clients" });
  expect(records.withdraw(image)).toBe(true);
  expect(records.openingOf(image, layer)).not.toBe("anybody");
});
