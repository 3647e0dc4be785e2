import { inspect } from "node:util";

import { assert, property, string } from "fast-check";
import { describe, expect, it } from "vitest";

import { CoordinatorError, InvalidInstanceUrlError, TransportError } from "./errors.ts";
import { normaliseInstanceUrl } from "./instance-url.ts";
import { encodeRunnerInfo, RUNNER_FEATURES, userAgent } from "./runner-info.ts";
import { Secret } from "./secret.ts";
import { shortToken } from "./short-token.ts";

describe("Secret", () => {
  it("shows itself only when it is asked to", () => {
    const secret = new Secret("glrt-very-secret");
    const printed = [`${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret), String([secret])];
    expect(printed.join(" ")).not.toContain("very");
    expect(printed[0]).toBe("[redacted]");
    expect(Object.keys(secret)).toEqual([]);
    expect(secret.reveal()).toBe("glrt-very-secret");
  });
});

describe("shortToken", () => {
  it.each([
    ["glrt-abcdefghijklm", "abcdefghi"],
    ["glrt-t1_abcdefghijklm", "abcdefghi"],
    ["glrt-t4_abcdefghijklm", "t4_abcdef"],
    ["t3_abcdefghijklm", "abcdefghi"],
    ["glrtr-abcdefghijklm", "abcdefghi"],
    ["glcbt-abcdefghijklm", "abcdefghi"],
    ["GR1348941abcdefghijklm", "abcdefghi"],
    ["GRxyzabcdefghijklm", "GRxyzabcd"],
    ["abcdefghijklm", "abcdefghi"],
    ["glrt-t1_AbCdEfGhIjKl", "AbCdEfGhI"],
    ["glrt-t1_glcbt-AbCdEfGhIjKl", "AbCdEfGhI"],
    ["glrtr-glcbt-GR1348941AbCdEfGhIjKl", "AbCdEfGhI"],
    ["glcbt-GR1348941AbCdEfGhIjKl", "AbCdEfGhI"],
    ["GR1348941glrt-AbCdEfGhIjKl", "glrt-AbCd"],
    ["gr1348941AbCdEfGhIjKl", "gr1348941"],
    ["t4_AbCdEfGhIjKl", "t4_AbCdEf"],
    ["x-glrt-AbCdEf", "x-glrt-Ab"],
    ["abcdefghéé", "abcdefgh\ufffd"],
    ["short", "short"],
    ["abc", "abc"],
    ["", ""],
  ])("of %s is %s", (token, expected) => {
    expect(shortToken(token)).toBe(expected);
  });

  it("never has more than nine bytes of an ASCII token", () => {
    assert(
      property(string({ unit: "grapheme-ascii" }), (token) => {
        expect(shortToken(token).length).toBeLessThanOrEqual(9);
      }),
    );
  });
});

describe("normaliseInstanceUrl", () => {
  it.each([
    ["http://h/ci//", "http://h"],
    ["https://h/gitlab/ci///", "https://h/gitlab"],
    ["https://h/gitlab", "https://h/gitlab"],
    ["https://h:8443/", "https://h:8443"],
    ["https://h/ci/ci", "https://h/ci"],
    ["https://h/mici", "https://h/mici"],
    ["https://user:word@h/x?private=1#f", "https://h/x"],
    ["HTTP://H", "http://h"],
  ])("of %s is %s", (url, expected) => {
    expect(normaliseInstanceUrl(url)).toBe(expected);
  });

  it.each(["ftp://h", "h", "", "file:///etc/passwd", "//h"])("refuses %j", (url) => {
    expect(() => normaliseInstanceUrl(url)).toThrow(InvalidInstanceUrlError);
  });
});

describe("encodeRunnerInfo", () => {
  it("leaves out what is empty and names every feature", () => {
    const info = encodeRunnerInfo({ name: "n", version: "1", revision: "", labels: {}, features: { artifacts: true } });
    expect(Object.keys(info)).toEqual(["name", "version", "features", "config"]);
    expect(Object.keys(info["features"] as object)).toEqual([...RUNNER_FEATURES]);
    const on = Object.entries(info["features"] as object).flatMap(([name, value]) => (value === true ? [name] : []));
    expect(on.toSorted()).toEqual([
      "artifacts",
      "cancel_gracefully",
      "cancelable",
      "job_inputs",
      "trace_checksum",
      "trace_reset",
      "trace_size",
      "two_phase_job_commit",
    ]);
  });

  it("lets a runner take back a feature of the transport", () => {
    const info = encodeRunnerInfo({ name: "n", version: "1", features: { job_inputs: false } });
    expect(info["features"]).toMatchObject({ job_inputs: false, trace_reset: true });
  });
});

describe("userAgent", () => {
  it.each([
    [{ version: "19.4.0" }, "gitlab-runner 19.4.0 (19-4-stable; go1.26.5; linux/amd64)"],
    [{ version: "dev" }, "gitlab-runner dev (main; go1.26.5; linux/amd64)"],
    [
      { version: "1.0.0", branch: "topic", platform: "darwin", architecture: "arm64" },
      "gitlab-runner 1.0.0 (topic; go1.26.5; darwin/arm64)",
    ],
  ])("of %j is %s", (info, expected) => {
    expect(userAgent({ name: "x", ...info }, "go1.26.5")).toBe(expected);
  });
});

describe("errors", () => {
  it("are recognised by their marker and carry facts", () => {
    expect(CoordinatorError.isInstance(new TransportError("gone"))).toBe(true);
    expect(CoordinatorError.isInstance(new InvalidInstanceUrlError("it is empty"))).toBe(true);
    expect(CoordinatorError.isInstance(new Error("gone"))).toBe(false);
    expect(CoordinatorError.isInstance(undefined)).toBe(false);
    expect(new TransportError("gone")).toMatchObject({ retryable: true, code: "no-answer", attempts: 1 });
    expect(new InvalidInstanceUrlError("x")).toMatchObject({ retryable: false, code: "invalid-instance-url" });
  });
});
