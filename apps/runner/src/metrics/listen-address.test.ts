import { describe, expect, it } from "vitest";
import { UsageError } from "../errors.ts";
import { parseListenAddress } from "./listen-address.ts";

describe("parseListenAddress", () => {
  it.each([
    { text: ":9252", host: "127.0.0.1", port: 9252 },
    { text: "localhost", host: "localhost", port: 9252 },
    { text: "0.0.0.0:80", host: "0.0.0.0", port: 80 },
    { text: "[::1]:9100", host: "::1", port: 9100 },
    { text: "[::]", host: "::", port: 9252 },
    { text: " 127.0.0.1:0 ", host: "127.0.0.1", port: 0 },
  ])("reads $text as port $port of $host", ({ text, host, port }) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each(["::1:9252", "host:port", ":70000", "[::1", "a b:c"])("refuses %s", (text) => {
    expect(() => parseListenAddress(text)).toThrow(UsageError);
  });
});
