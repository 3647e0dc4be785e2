import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decideProxy } from "../decide.ts";
import { readProxyEnvironment } from "../settings.ts";
import type { ProxySettingsOptions } from "../settings.ts";

/** The column of Go: whether a request with this list goes through the proxy. */
const rows = [
  ["PE N01", undefined, "http://example.com/", "proxied"],
  ["PE N02", undefined, "http://localhost:8080/", "bypassed"],
  ["PE N03", undefined, "http://localhost./", "proxied"],
  ["PE N04", undefined, "http://foo.localhost/", "proxied"],
  ["PE N05", undefined, "http://127.0.0.1:9000/", "bypassed"],
  ["PE N06", undefined, "http://127.5.6.7/", "bypassed"],
  ["PE N07", undefined, "http://[::1]:9000/", "bypassed"],
  ["PE N08", undefined, "http://[::ffff:127.0.0.1]/", "bypassed"],
  ["PE N09", undefined, "http://0.0.0.0:80/", "proxied"],
  ["PE N10", "example.com", "http://example.com/", "bypassed"],
  ["PE N11", "example.com", "http://EXAMPLE.com/", "bypassed"],
  ["PE N12", "EXAMPLE.COM", "http://example.com/", "bypassed"],
  ["PE N13", "example.com", "http://www.example.com/", "bypassed"],
  ["PE N14", "example.com", "http://a.b.example.com:8443/", "bypassed"],
  ["PE N15", "example.com", "http://notexample.com/", "proxied"],
  ["PE N16", "example.com", "http://example.com.evil.test/", "proxied"],
  ["PE N17", "example.com", "http://example.com./", "proxied"],
  ["PE N18", "example.com.", "http://example.com/", "proxied"],
  ["PE N19", "example.com.", "http://example.com./", "bypassed"],
  ["PE N20", ".example.com", "http://example.com/", "proxied"],
  ["PE N21", ".example.com", "http://www.example.com/", "bypassed"],
  ["PE N22", ".example.com", "http://notexample.com/", "proxied"],
  ["PE N23", "*.example.com", "http://example.com/", "proxied"],
  ["PE N24", "*.example.com", "http://www.example.com/", "bypassed"],
  ["PE N25", "*.example.com", "http://a.b.example.com/", "bypassed"],
  ["PE N26", "*.example.com", "http://notexample.com/", "proxied"],
  ["PE N27", "*example.com", "http://example.com/", "proxied"],
  ["PE N28", "*example.com", "http://notexample.com/", "proxied"],
  ["PE N29", "*example.com", "http://www.example.com/", "proxied"],
  ["PE N30", "exam*.com", "http://example.com/", "proxied"],
  ["PE N31", "www.*", "http://www.example.com/", "proxied"],
  ["PE N32", "10.*", "http://10.1.2.3/", "proxied"],
  ["PE N33", "192.168.0.*", "http://192.168.0.7/", "proxied"],
  ["PE N34", "*", "http://example.com/", "bypassed"],
  ["PE N35", "*", "http://10.1.2.3/", "bypassed"],
  ["PE N36", " * ", "http://example.com/", "bypassed"],
  ["PE N37", "foo.test,*", "http://example.com/", "bypassed"],
  ["PE N38", "*,foo.test", "http://example.com/", "bypassed"],
  ["PE N39", "*:80", "http://example.com/", "proxied"],
  ["PE N40", "example.com:80", "http://example.com/", "bypassed"],
  ["PE N41", "example.com:443", "http://example.com/", "proxied"],
  ["PE N42", "example.com:443", "https://example.com/", "bypassed"],
  ["PE N43", "example.com:8080", "http://example.com:8080/", "bypassed"],
  ["PE N44", "example.com:8080", "http://example.com/", "proxied"],
  ["PE N45", ".example.com:8080", "http://www.example.com:8080/", "bypassed"],
  ["PE N46", "*.example.com:8080", "http://www.example.com:8080/", "bypassed"],
  ["PE N47", "*.example.com:8080", "http://www.example.com/", "proxied"],
  ["PE N48", "docker:2375,docker:2376", "http://docker:2375/_ping", "bypassed"],
  ["PE N49", "docker:2375,docker:2376", "https://docker:2376/_ping", "bypassed"],
  ["PE N50", "docker:2375,docker:2376", "http://docker/_ping", "proxied"],
  ["PE N51", "docker", "http://docker:2375/_ping", "bypassed"],
  ["PE N52", "10.1.2.3", "http://10.1.2.3/", "bypassed"],
  ["PE N53", "10.1.2.3", "http://10.1.2.3:8080/", "bypassed"],
  ["PE N54", "10.1.2.3:8080", "http://10.1.2.3:8080/", "bypassed"],
  ["PE N55", "10.1.2.3:8080", "http://10.1.2.3/", "proxied"],
  ["PE N56", "10.1.2", "http://10.1.2.3/", "proxied"],
  ["PE N57", "10.0.0.0/8", "http://10.1.2.3/", "bypassed"],
  ["PE N58", "10.0.0.0/8", "http://11.1.2.3/", "proxied"],
  ["PE N59", "10.1.2.3/8", "http://10.200.0.1/", "bypassed"],
  ["PE N60", "0.0.0.0/0", "http://10.1.2.3/", "bypassed"],
  ["PE N61", "10.1.2.3/32", "http://10.1.2.3/", "bypassed"],
  ["PE N62", "10.0.0.0/33", "http://10.0.0.0/", "proxied"],
  ["PE N63", "172.16.0.0/12", "http://172.17.0.1:3128/", "bypassed"],
  ["PE N64", "169.254.169.254", "http://169.254.169.254/latest/meta-data/", "bypassed"],
  ["PE N65", "10.1.2.0-10.1.2.9", "http://10.1.2.3/", "proxied"],
  ["PE N66", "::1", "http://[::1]/", "bypassed"],
  ["PE N67", "2001:db8::1", "http://[2001:db8::1]/", "bypassed"],
  ["PE N68", "[2001:db8::1]", "http://[2001:db8::1]/", "proxied"],
  ["PE N69", "[2001:db8::1]:8080", "http://[2001:db8::1]:8080/", "bypassed"],
  ["PE N70", "[2001:db8::1]:8080", "http://[2001:db8::1]/", "proxied"],
  ["PE N71", "2001:db8:0:0:0:0:0:1", "http://[2001:db8::1]/", "bypassed"],
  ["PE N72", "2001:db8::/32", "http://[2001:db8:1::5]/", "bypassed"],
  ["PE N73", "2001:DB8::1", "http://[2001:db8::1]/", "bypassed"],
  ["PE N74", "a.test, example.com", "http://example.com/", "bypassed"],
  ["PE N75", "a.test example.com", "http://example.com/", "proxied"],
  ["PE N76", "a.test\texample.com", "http://example.com/", "proxied"],
  ["PE N77", "a.test,,example.com", "http://example.com/", "bypassed"],
  ["PE N78", ",example.com,", "http://example.com/", "bypassed"],
  ["PE N79", "http://example.com", "http://example.com/", "proxied"],
  ["PE N80", "example.com/", "http://example.com/", "proxied"],
  ["PE N81", "example.com/path", "http://example.com/path", "proxied"],
  ["PE N82", "localhost", "http://foo.localhost/", "bypassed"],
  ["PE N83", "<local>", "http://intranet/", "proxied"],
  ["PE N84", "com", "http://example.com/", "bypassed"],
  ["PE N85", "co", "http://example.com/", "proxied"],
  ["PE N86", "xn--bcher-kva.test", "http://bücher.test/", "bypassed"],
  ["PE N87", "example.com", "http://user:pw@example.com/", "bypassed"],
  ["PE N88", "gitlab.example.com", "http://registry.gitlab.example.com/v2/", "bypassed"],
] as const satisfies readonly (readonly [string, string | undefined, string, "bypassed" | "proxied"])[];

describe("bypass list", () => {
  it("PE A16: knows every row of the table", () => {
    expect(rows.map(([row]) => row)).toEqual(
      Array.from({ length: 88 }, (_, index) => `PE N${String(index + 1).padStart(2, "0")}`),
    );
  });

  it.each(rows)("%s: with %j, %s is %s", (_row, noProxy, url, expected) => {
    expect(decide(noProxy, url).proxy === undefined ? "bypassed" : "proxied").toBe(expected);
  });

  it.each(["http://127.5.6.7/", "http://[::1]/", "http://localhost:9/", "http://LOCALHOST/", "http://2130706433/"])(
    "PE A17: reaches %s directly without any list, because it is this machine",
    (url) => {
      expect(decide(undefined, url)).toEqual({ proxy: undefined, reason: "loopback" });
    },
  );

  it.each(["http://127.5.6.7/", "http://[::1]/", "http://localhost:9/"])(
    "PE A18: sends %s to the proxy when the loopback bypass is off",
    (url) => {
      expect(decide(undefined, url, { loopbackBypass: false }).reason).toBe("proxied");
    },
  );

  it("PE A19: does not resolve a name to see whether a range covers it", () => {
    // Deciding is synchronous: no name could have been resolved. localhost is the one name that surely has an address.
    const decision = decide("127.0.0.0/8,::1/128", "http://localhost/", { loopbackBypass: false });
    expect(decision.reason).toBe("proxied");
  });

  it("PE A20: takes wss for https with port 443", () => {
    expect(decide("example.com", "wss://a.example.com/").reason).toBe("no-proxy:example.com");
    expect(decide("example.com:443", "wss://example.com/").reason).toBe("no-proxy:example.com:443");
    expect(decide("example.com:80", "ws://example.com/").reason).toBe("no-proxy:example.com:80");
  });

  it("names the entry as it was written", () => {
    expect(decide("a.test, *.Example.COM ", "http://www.example.com/").reason).toBe("no-proxy:*.Example.COM");
  });

  it.each([
    ["::ffff:10.0.0.0/104", "http://10.1.2.3/", "bypassed"],
    ["10.0.0.0/8", "http://[::ffff:10.1.2.3]/", "bypassed"],
    ["::ffff:10.1.2.3", "http://10.1.2.3/", "bypassed"],
    ["::/0", "http://10.1.2.3/", "proxied"],
    ["::/0", "http://[2001:db8::1]/", "bypassed"],
    ["2001:db8::/33", "http://[2001:db8:8000::1]/", "proxied"],
    ["2001:db8::/33", "http://[2001:db8:7fff::1]/", "bypassed"],
    ["10.0.0.0/9", "http://10.128.0.1/", "proxied"],
    ["010.1.2.3", "http://10.1.2.3/", "proxied"],
    ["10.1.2.3:", "http://10.1.2.3:99/", "bypassed"],
    ["example.com:", "http://example.com:99/", "bypassed"],
    ["fe80::1%eth0", "http://[fe80::1]/", "proxied"],
    ["bücher.test", "http://xn--bcher-kva.test/", "bypassed"],
    ["*.bücher.test", "http://www.bücher.test/", "bypassed"],
    [":80", "http://example.com/", "proxied"],
    ["", "http://example.com/", "proxied"],
  ])("with %j, %s is %s", (noProxy, url, expected) => {
    expect(decide(noProxy, url).proxy === undefined ? "bypassed" : "proxied").toBe(expected);
  });

  it("splits at white space when it may", () => {
    expect(decide("a.test example.com", "http://example.com/", { lenientSeparators: true }).proxy).toBeUndefined();
    expect(decide("a.test\texample.com", "http://example.com/", { lenientSeparators: true }).proxy).toBeUndefined();
  });

  it.each([
    ["example.com", "http://example.com./"],
    ["example.com.", "http://www.example.com/"],
    [undefined, "http://localhost./"],
  ])("ignores a dot at the end when it may: %j, %s", (noProxy, url) => {
    expect(decide(noProxy, url, { stripTrailingDot: true }).proxy).toBeUndefined();
  });

  it("takes every text, and the order of its entries does not matter", () => {
    const entry = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.constantFrom("*", ".com", "*.example.com", "10.0.0.0/8", "[::1]:80", "example.com:80", "10.1.2.3:"),
    );
    const host = fc.oneof(fc.constantFrom("example.com", "www.example.com", "10.1.2.3", "[2001:db8::1]"), fc.domain());
    fc.assert(
      fc.property(fc.array(entry), host, fc.boolean(), (entries, name, lenient) => {
        const options = { lenientSeparators: lenient, stripTrailingDot: lenient };
        const there = decide(entries.join(","), `http://${name}/`, options);
        const back = decide(entries.toReversed().join(","), `http://${name}/`, options);
        expect(back.proxy === undefined).toBe(there.proxy === undefined);
      }),
      { numRuns: 5000 },
    );
  });
});

function decide(noProxy: string | undefined, url: string, options: ProxySettingsOptions = {}) {
  const environment = {
    http_proxy: "http://proxy.test:3128",
    https_proxy: "http://proxy.test:3128",
    no_proxy: noProxy,
  };
  return decideProxy(readProxyEnvironment(environment, options), new URL(url));
}
