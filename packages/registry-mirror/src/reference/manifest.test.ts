import { expect, it } from "vitest";
import { isManifest, manifestTypes, readManifest } from "./manifest.ts";

it("reads no document that is made of more lists and objects than any manifest", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const index = (lists: number): Buffer =>
    Buffer.from(`{"schemaVersion":2,"manifests":[{"digest":"${digest}","size":1}],"x":[${"[],".repeat(lists)}0]}`);
  expect(isManifest(index(90_000), manifestTypes.ociIndex)).toBe(true);
  expect(readManifest(index(90_000), manifestTypes.ociIndex).children).toHaveLength(1);
  expect(isManifest(index(100_000), manifestTypes.ociIndex)).toBe(false);
  expect(readManifest(index(100_000), manifestTypes.ociIndex).children).toEqual([]);
});
