import { isIP, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { parseRanges } from "../upstream/address.ts";
import { isForbiddenAddress } from "./addresses.ts";
import { HelloCollector, readClientHello } from "./client-hello.ts";
import { decideConnect, readConnectPolicy } from "./policy.ts";
import type { ConnectPolicyOptions } from "./policy.ts";
import { formatTarget, parseConnectTarget } from "./target.ts";

const runs = { numRuns: 10_000 };

function decide(target: string, options: Partial<ConnectPolicyOptions> = {}): string {
  const problems: string[] = [];
  const policy = readConnectPolicy(
    { hosts: ["quay.io", "reg.example.test:5000", "198.51.100.7"], ...options },
    problems,
  );
  expect(problems).toEqual([]);
  const decision = decideConnect(target, policy);
  return decision.kind === "refuse"
    ? `${decision.status} ${decision.phrase}`
    : `${decision.kind} ${formatTarget(decision.target)}`;
}

describe("decideConnect", () => {
  it("RM K7: intercepts a listed host at its port only, and opens no tunnel to another port", () => {
    expect(decide("quay.io:443")).toBe("intercept quay.io:443");
    expect(decide("quay.io:8443")).toBe(
      "403 fleetfoot-mirror: quay.io:8443 is not on the list (connect.hosts, connect.otherHosts)",
    );
    expect(decide("reg.example.test:5000")).toBe("intercept reg.example.test:5000");
    expect(decide("reg.example.test:443")).toMatch(/^403 /);
    expect(decide("other.example:22", { otherHosts: "tunnel" })).toBe(
      "403 fleetfoot-mirror: port 22 of other hosts is not on the list (connect.tunnelPorts)",
    );
    expect(decide("other.example:22", { otherHosts: "tunnel", tunnelPorts: [22] })).toBe("tunnel other.example:22");
    expect(decide("ssh.example:22", { tunnelHosts: ["ssh.example:22"] })).toBe("tunnel ssh.example:22");
  });

  it.each([
    ["no port", "quay.io"],
    ["port 0", "quay.io:0"],
    ["a port above 65535", "quay.io:99999"],
    ["user info", "user@quay.io:443"],
    ["a login", "user:pass@quay.io:443"],
    ["10 kB", `${"a".repeat(10_000)}:443`],
    ["a control character", "quay.io\t:443"],
    ["a character that is not ASCII", "quäy.io:443"],
    ["half a bracket", "[::1:443"],
    ["IPv6 without brackets", "::1:443"],
    ["a scheme", "https://quay.io:443"],
    ["a path", "quay.io:443/"],
    ["a port in another notation", "quay.io:4e2"],
    ["nothing", ""],
  ])("RM K26: answers a target with 400: %s", (_, target) => {
    expect(decide(target, { otherHosts: "tunnel" })).toMatch(/^400 /);
  });

  it("RM K26: takes capitals and a dot at the end for the same name", () => {
    expect(decide("QUAY.IO.:443")).toBe("intercept quay.io:443");
    expect(decide("[2001:DB8::0001]:443", { tunnelHosts: ["[2001:db8::1]"] })).toBe("tunnel [2001:db8::1]:443");
  });

  it("says in one message all that is wrong with a policy", () => {
    const problems: string[] = [];
    readConnectPolicy(
      { hosts: ["*.example"], tunnelHosts: ["a:b"], pushHosts: ["quay.io"], tunnelPorts: [0] },
      problems,
    );
    expect(problems).toEqual([
      expect.stringContaining('connect.hosts: "*.example"'),
      expect.stringContaining('connect.tunnelHosts: "a:b"'),
      expect.stringContaining("connect.pushHosts: quay.io:443"),
      expect.stringContaining("connect.tunnelPorts: 0"),
    ]);
  });

  it("chooses only what is listed, and says nothing that could break a status line, whatever the target", () => {
    const piece = fc.constantFrom(
      "a",
      "b",
      "z",
      "0",
      "1",
      ".",
      ":",
      "-",
      "_",
      "@",
      "[",
      "]",
      "/",
      "\\",
      "%",
      "é",
      " ",
      "\r",
      "\n",
      "\t",
      "\0",
      "quay.io",
      "QUAY.IO.",
      ":443",
      "127.0.0.1",
      "[::1]",
      "[::ffff:10.1.2.3]",
      "0x7f.1",
    );
    const target = fc.oneof(
      fc.array(piece, { maxLength: 8 }).map((parts) => parts.join("")),
      fc.string({ unit: "binary", maxLength: 400 }),
    );
    fc.assert(
      fc.property(target, (text) => {
        const answer = decide(text);
        expect(answer).toMatch(
          /^(?:intercept (?:quay\.io:443|reg\.example\.test:5000|198\.51\.100\.7:443)|40[03] [\x20-\x7e]{1,200})$/,
        );
        const read = parseConnectTarget(text);
        if (read === undefined) return;
        expect(parseConnectTarget(formatTarget(read))).toEqual(read);
        expect(isIPv6(read.host) || /^[a-z0-9._-]+$/.test(read.host)).toBe(true);
      }),
      runs,
    );
  });
});

describe("isForbiddenAddress", () => {
  it("forbids all that is not public, in whatever form, unless it is allowed", () => {
    const problems: string[] = [];
    const none = parseRanges([], "allowPrivate", problems);
    const some = parseRanges(["10.1.2.0/24", "fd00::/8"], "allowPrivate", problems);
    expect(problems).toEqual([]);
    for (const address of [
      "10.1.2.3",
      "127.0.0.1",
      "169.254.169.254",
      "::1",
      "::ffff:10.1.2.3",
      "64:ff9b::a01:203",
      "fd00::1",
      "x",
      "",
    ]) {
      expect(isForbiddenAddress(address, none), address).toBe(true);
    }
    for (const address of ["198.51.100.7", "2001:4860::1"])
      expect(isForbiddenAddress(address, none), address).toBe(false);
    expect(["10.1.2.3", "fd00::1", "10.1.3.3", "127.0.0.1", "x"].map((one) => isForbiddenAddress(one, some))).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  it("agrees with itself about IPv4 inside of IPv6", () => {
    const problems: string[] = [];
    const none = parseRanges([], "allowPrivate", problems);
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const mapped = `::ffff:${address}`;
        expect(isIP(mapped)).toBe(6);
        expect(isForbiddenAddress(mapped, none)).toBe(isForbiddenAddress(address, none));
      }),
      runs,
    );
  });
});

describe("readClientHello", () => {
  /** As a client with one extension would send it, in records of so many bytes. */
  function hello(name: string, recordBytes: number): Buffer {
    const host = Buffer.from(name, "latin1");
    const list = Buffer.concat([Buffer.from([0]), u16(host.byteLength), host]);
    const extension = Buffer.concat([u16(0), u16(list.byteLength + 2), u16(list.byteLength), list]);
    const body = Buffer.concat([
      Buffer.from([3, 3]),
      Buffer.alloc(32),
      Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
      u16(extension.byteLength),
      extension,
    ]);
    const message = Buffer.concat([Buffer.from([1, 0]), u16(body.byteLength), body]);
    return recordsOf(message, recordBytes);
  }

  it("finds the name in any number of records, and never before everything has come", () => {
    fc.assert(
      fc.property(fc.domain(), fc.integer({ min: 8, max: 400 }), (name, recordBytes) => {
        const bytes = hello(name, recordBytes);
        expect(readClientHello(bytes)).toEqual({ kind: "complete", serverName: name.toLowerCase() });
        for (const length of [0, 1, 4, 5, 8, Math.floor(bytes.byteLength / 2), bytes.byteLength - 1]) {
          expect(readClientHello(bytes.subarray(0, length)).kind).toBe("incomplete");
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("copies little, however small the pieces are in which a long one comes", () => {
    const message = Buffer.alloc(32 * 1024);
    message.writeUInt32BE((1 << 24) | (message.byteLength - 4));
    const sixty = recordsOf(message, 560);
    let copied = 0;
    const concat = Buffer.concat.bind(Buffer);
    const spy = vi.spyOn(Buffer, "concat").mockImplementation((list, length) => {
      const bytes = concat(list, length);
      copied += bytes.byteLength;
      return bytes;
    });
    try {
      const collector = new HelloCollector();
      for (let at = 0; at < sixty.byteLength - 1; at += 1) {
        expect(collector.add(sixty.subarray(at, at + 1)).kind).toBe("incomplete");
      }
      expect(collector.add(sixty.subarray(-1)).kind).not.toBe("incomplete");
      expect(collector.bytes.equals(sixty)).toBe(true);
      expect(copied).toBeLessThan(130 * sixty.byteLength);
    } finally {
      spy.mockRestore();
    }
  });

  it("gives up on a hello that comes in more records than any client sends", () => {
    const bytes = hello("a-name-that-is-long-enough.example.com", 1);
    const collector = new HelloCollector();
    const kinds = Array.from(bytes, (_, at) => collector.add(bytes.subarray(at, at + 1)).kind);
    expect(kinds.indexOf("invalid")).toBe(64 * 6 - 1);
    expect(readClientHello(bytes).kind).toBe("invalid");
  });

  it("takes nothing else for a hello, and never fails", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.nat(255), (noise, position, value) => {
        const state = readClientHello(Buffer.from(noise));
        if (noise.length > 0 && noise[0] !== 22) expect(state.kind).toBe("invalid");
        const damaged = hello("quay.io", 1000);
        damaged.writeUInt8(value, position % damaged.byteLength);
        expect(["complete", "incomplete", "invalid"]).toContain(readClientHello(damaged).kind);
      }),
      runs,
    );
    for (const text of ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x00"]) {
      expect(readClientHello(Buffer.from(text, "latin1")).kind).toBe("invalid");
    }
  });
});

function recordsOf(message: Buffer, recordBytes: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.byteLength; at += recordBytes) {
    const part = message.subarray(at, at + recordBytes);
    records.push(Buffer.from([22, 3, 1]), u16(part.byteLength), part);
  }
  return Buffer.concat(records);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
