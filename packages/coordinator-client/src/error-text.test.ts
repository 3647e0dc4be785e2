import { describe, expect, it } from "vitest";

import { describeError, serverMessage, statusLine } from "./error-text.ts";
import { printable } from "./printable.ts";
import { Secret } from "./secret.ts";

describe("serverMessage", () => {
  it.each([
    ['{"message":"no such project"}', "no such project"],
    ['{"message":{"tag_list":["is empty","is bad"],"base":["x"]}}', "tag_list: is empty; is bad, base: x"],
    ['{"message":{"base":"x"}}', "base: x"],
    ['{"message":""}', undefined],
    ['{"message":{}}', undefined],
    ['{"message":5}', undefined],
    ['{"error":"x"}', undefined],
    ["[]", undefined],
    ["null", undefined],
    ["{", undefined],
    ["", undefined],
  ])("of the JSON %s is %s", (body, expected) => {
    expect(serverMessage("application/json", body)).toBe(expected);
  });

  it("reads the error of an object store and nothing of HTML", () => {
    const xml = "<Error><Code>NoSuchKey</Code><Message>The key does not exist</Message></Error>";
    expect(serverMessage("application/xml", xml)).toBe("NoSuchKey: The key does not exist");
    expect(serverMessage("text/xml", "<Error><Code>NoSuchKey</Code></Error>")).toBe("NoSuchKey");
    expect(serverMessage("text/xml", "<html/>")).toBeUndefined();
    expect(serverMessage("text/html", "<Error><Code>x</Code></Error>")).toBeUndefined();
  });
});

describe("statusLine", () => {
  it("uses the server's text, or the usual one", () => {
    expect(statusLine(403, "No Way")).toBe("403 No Way");
    expect(statusLine(403, "")).toBe("403 Forbidden");
    expect(statusLine(599, "")).toBe("599");
  });
});

describe("printable", () => {
  it("replaces tokens and control characters and bounds the length", () => {
    expect(printable("a\r\nb\u001b[31m tok-1 tok-1", [new Secret("tok-1"), new Secret("")])).toBe(
      "a b [31m [redacted] [redacted]",
    );
    expect(printable("x".repeat(5000), [])).toHaveLength(1001);
  });
});

describe("describeError", () => {
  it("finds the message where the network stack hides it", () => {
    const refused = new Error("connect ECONNREFUSED 127.0.0.1:1");
    expect(describeError(new AggregateError([refused, refused], ""))).toBe("connect ECONNREFUSED 127.0.0.1:1");
    expect(describeError(new TypeError("fetch failed", { cause: refused }))).toBe(
      "fetch failed: connect ECONNREFUSED 127.0.0.1:1",
    );
    expect(describeError(new RangeError(""))).toBe("RangeError");
    expect(describeError("text")).toBe("text");
  });
});
