import { describe, expect, it } from "vitest";
import { isImageName } from "./reference.ts";

const digest = `sha256:${"0a".repeat(32)}`;

describe("isImageName", () => {
  it.each([
    "alpine",
    "alpine:3.22",
    `alpine@${digest}`,
    `registry.example.com:5000/group/sub_group/my-image__x:v1.2-RC_3@${digest}`,
    "localhost/app",
    "REGISTRY.example.com/app",
    "[fd00::1]:5000/app",
    "10.1.2.3:5000/a/b/c/d",
    "a--b/c.d",
    digest,
    "0a".repeat(32),
  ])("takes %s", (name) => {
    expect(isImageName(name)).toBe(true);
  });

  it.each([
    "",
    "../containers/json?all=1#",
    "a/../../events?x",
    "a/../b",
    "a//b",
    "/a",
    "a/",
    "Foo Bar:::",
    "Foo",
    "example.com/Foo",
    "app:",
    "app:tag:tag",
    "app?x=1",
    "app#x",
    "app%2e%2e",
    "app\n",
    "app:\n",
    "app@sha256:1",
    `app@${digest}@${digest}`,
    "a".repeat(256),
    "ä",
  ])("refuses %j", (name) => {
    expect(isImageName(name)).toBe(false);
  });
});
