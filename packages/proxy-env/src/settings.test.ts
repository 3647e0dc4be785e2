import { inspect } from "node:util";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decideProxy } from "./decide.ts";
import { proxyEnvironment } from "./environment.ts";
import { InvalidProxySettingsError, ProxyEnvError } from "./errors.ts";
import { readProxyEnvironment } from "./settings.ts";
import type { ProxySettingsOptions } from "./settings.ts";
import type { Environment } from "./variables.ts";

const HTTP = "http://example.com/";
const HTTPS = "https://example.com/";

describe("readProxyEnvironment", () => {
  it("PE A01: prefers lower case, and warns once without values when both cases differ", () => {
    const settings = readProxyEnvironment({ http_proxy: "http://b:1", HTTP_PROXY: "http://a:1" });
    expect(decideProxy(settings, new URL(HTTP)).proxy?.address).toBe("b:1");
    expect(settings.warnings).toEqual([
      { variable: "http_proxy", code: "cases-differ", message: expect.not.stringMatching(/a:1|b:1/) },
    ]);
  });

  it("does not warn when both cases agree", () => {
    expect(readProxyEnvironment({ http_proxy: "http://b:1", HTTP_PROXY: "http://b:1 " }).warnings).toEqual([]);
  });

  it("PE A02: takes an empty value for none", () => {
    expect(route({ http_proxy: "", HTTP_PROXY: "http://a:1" }, HTTP)).toBe("a:1");
    expect(route({ http_proxy: " \t", HTTP_PROXY: "http://a:1" }, HTTP)).toBe("a:1");
    expect(route({ https_proxy: "http://a:1", no_proxy: "", NO_PROXY: "example.com" }, HTTPS)).toBe(
      "no-proxy:example.com",
    );
  });

  it("PE A03: never uses http_proxy for https, nor https_proxy for http", () => {
    expect(route({ http_proxy: "http://a:1" }, HTTPS)).toBe("no-variable");
    expect(route({ https_proxy: "http://a:1" }, HTTP)).toBe("no-variable");
  });

  it("PE A04: falls back to ALL_PROXY, after both cases of the variable for the scheme", () => {
    expect(route({ ALL_PROXY: "http://a:1" }, HTTPS)).toBe("a:1");
    expect(route({ ALL_PROXY: "http://a:1" }, HTTP)).toBe("a:1");
    expect(route({ all_proxy: "http://a:1", HTTPS_PROXY: "http://b:1" }, HTTPS)).toBe("b:1");
    expect(route({ all_proxy: "http://a:1" }, "ftp://example.com/")).toBe("no-variable");
  });

  it("PE A05: ignores HTTP_PROXY for a CGI program, with a warning, and http_proxy not", () => {
    const settings = readProxyEnvironment({ REQUEST_METHOD: "GET", HTTP_PROXY: "http://a:1" });
    expect(decideProxy(settings, new URL(HTTP)).reason).toBe("no-variable");
    expect(settings.warnings.map(({ variable, code }) => [variable, code])).toEqual([
      ["HTTP_PROXY", "ignored-for-cgi"],
    ]);
    expect(route({ REQUEST_METHOD: "GET", http_proxy: "http://a:1" }, HTTP)).toBe("a:1");
    expect(route({ REQUEST_METHOD: "GET", HTTPS_PROXY: "http://a:1" }, HTTPS)).toBe("a:1");
    expect(route({ REQUEST_METHOD: "", HTTP_PROXY: "http://a:1" }, HTTP)).toBe("a:1");
  });

  it("PE A06: reads a value without scheme as http, and writes it with scheme in both cases", () => {
    const settings = readProxyEnvironment({ https_proxy: "172.17.0.1:3128" });
    expect(settings.https).toMatchObject({ protocol: "http:", hostname: "172.17.0.1", port: 3128 });
    expect(proxyEnvironment(settings)).toEqual({
      https_proxy: "http://172.17.0.1:3128",
      HTTPS_PROXY: "http://172.17.0.1:3128",
    });
  });

  it("PE A07: takes proxy.corp:3128 for a host and a port", () => {
    const { https } = readProxyEnvironment({ https_proxy: "proxy.corp:3128" });
    expect(https).toMatchObject({ protocol: "http:", hostname: "proxy.corp", port: 3128 });
  });

  it("PE A08: talks TLS at port 443 to https://proxy.corp", () => {
    const { https } = readProxyEnvironment({ https_proxy: "https://proxy.corp" });
    expect(https).toMatchObject({ protocol: "https:", hostname: "proxy.corp", port: 443 });
  });

  it("PE A09: decodes user and password", () => {
    const { http } = readProxyEnvironment({ http_proxy: "http://user:p%40ss%3Aw%2Frd@h:1" });
    expect(http?.credentials()).toEqual({ username: "user", password: "p@ss:w/rd" });
    expect(http?.authorization()).toBe(`Basic ${Buffer.from("user:p@ss:w/rd").toString("base64")}`);
  });

  it("PE A10: refuses a bare percent sign, naming the variable and not the value", () => {
    const error = refusal({ http_proxy: "http://user:100%@h:1" });
    expect(error.problems).toEqual([{ variable: "http_proxy", reason: expect.stringContaining("percent-encode") }]);
    expect(everyTextOf(error)).not.toContain("100%");
  });

  it("PE A11: ends the password at the last @, and writes it percent-encoded", () => {
    const settings = readProxyEnvironment({ http_proxy: "http://user:p@ss@h:1" });
    expect(settings.http?.credentials()?.password).toBe("p@ss");
    expect(proxyEnvironment(settings)["http_proxy"]).toBe("http://user:p%40ss@h:1");
  });

  it("PE A12: refuses SOCKS4, and SOCKS5 unless it is enabled", () => {
    expect(refusal({ https_proxy: "socks4://h:1080" }, { socks: true }).code).toBe("invalid-proxy-settings");
    expect(refusal({ https_proxy: "socks5h://h:1080" }).code).toBe("invalid-proxy-settings");
    expect(readProxyEnvironment({ https_proxy: "socks5h://h" }, { socks: true }).https).toMatchObject({
      protocol: "socks5h:",
      port: 1080,
    });
  });

  it("PE A13: trims white space around a value", () => {
    expect(route({ http_proxy: " http://h:1 " }, HTTP)).toBe("h:1");
    expect(route({ http_proxy: "http://h:1\n" }, HTTP)).toBe("h:1");
  });

  it.each(["http://h:1\nhttp://i:1", "http://h\t:1", "http://h:1\u0000"])(
    "PE A14: refuses a control character inside %j",
    (value) => {
      expect(refusal({ http_proxy: value }).problems).toHaveLength(1);
    },
  );

  it("PE A15: does not care about the case of the scheme", () => {
    expect(route({ http_proxy: "HTTP://h:1" }, HTTP)).toBe("h:1");
  });

  it.each([
    ["//h:1", "an empty host"],
    ["http://", "no host"],
    ["http://h:0", "port 0"],
    ["http://h:65536", "a port too high"],
    ["http://h:3128x", "letters behind the port"],
    ['"http://h:1"', "quotes around it"],
    ['"h"', "quotes around a name"],
    ["http://user:pa/ss@h:1", "a raw slash in the password"],
    ["http://user:12/ss@h:1", "a raw slash behind digits in the password"],
    ["http://user:pa#ss@h:1", "a raw hash in the password"],
    ["http://user:%ff@h:1", "a password that is not UTF-8"],
    ["http://h\\x:1", "a backslash"],
    ["http://[::1", "an open bracket"],
    ["http://[::g]:1", "an address that is none"],
    ["http://h h:1", "a space inside"],
    ["user:secret://h:1", "credentials where a scheme belongs"],
  ])("refuses %s: %s", (value) => {
    expect(refusal({ https_proxy: value }).problems).toHaveLength(1);
  });

  it.each([
    ["http://PROXY.Corp:3128/", "http://proxy.corp:3128"],
    ["http://[2001:DB8:0::1]:3128", "http://[2001:db8::1]:3128"],
    ["http://bücher.test", "http://xn--bcher-kva.test:80"],
    ["http://user@h:1", "http://user@h:1"],
    ["http://user:@h:1", "http://user:@h:1"],
    ["http://:pw@h:1", "http://:pw@h:1"],
    ["http://@h:1", "http://h:1"],
    ["http://u:a+b!'()*@h:1", "http://u:a%2Bb%21%27%28%29%2A@h:1"],
    ["http://ü:ß@h:1", "http://%C3%BC:%C3%9F@h:1"],
  ])("writes %s as %s", (value, canonical) => {
    expect(readProxyEnvironment({ http_proxy: value }).http?.reveal()).toBe(canonical);
  });

  it("sends an empty password for a user without one", () => {
    const { http } = readProxyEnvironment({ http_proxy: "http://user@h:1" });
    expect(http?.authorization()).toBe(`Basic ${Buffer.from("user:").toString("base64")}`);
  });

  it("drops a path behind the host with a warning", () => {
    const settings = readProxyEnvironment({ http_proxy: "http://h:1/path?x#y" });
    expect(settings.http?.reveal()).toBe("http://h:1");
    expect(settings.warnings.map(({ code }) => code)).toEqual(["path-dropped"]);
  });

  it("warns about white space inside an entry of the bypass list", () => {
    expect(readProxyEnvironment({ NO_PROXY: "a.test b.test" }).warnings).toEqual([
      { variable: "NO_PROXY", code: "space-in-entry", message: expect.stringContaining("commas") },
    ]);
  });

  it("names all problems at once", () => {
    const { problems } = refusal({ HTTP_PROXY: "http://", https_proxy: "ftp://h", all_proxy: "socks5://h" });
    expect(problems.map(({ variable }) => variable)).toEqual(["HTTP_PROXY", "https_proxy", "all_proxy"]);
  });

  it("is a snapshot: later changes of the environment do not matter", () => {
    const environment: Record<string, string> = { http_proxy: "http://h:1" };
    const settings = readProxyEnvironment(environment);
    environment["no_proxy"] = "*";
    environment["http_proxy"] = "http://other:1";
    expect(decideProxy(settings, new URL(HTTP)).proxy?.address).toBe("h:1");
    expect(Object.isFrozen(settings) && Object.isFrozen(settings.noProxy) && Object.isFrozen(settings.http)).toBe(true);
  });

  it("PE A53: no error and no value shows user or password, in JSON or in the inspector", () => {
    const secret = "http://the-user:the-secret@h:99999";
    const error = refusal({ http_proxy: secret, https_proxy: "http://the-user:the-secret%@h" });
    expect(everyTextOf(error)).not.toMatch(/the-user|the-secret/);
    expect(ProxyEnvError.isInstance(error)).toBe(true);

    const settings = readProxyEnvironment({ http_proxy: "http://the-user:the-secret@h:1" });
    expect(everyTextOf(settings)).not.toMatch(/the-user|the-secret/);
    expect(String(settings.http)).toBe("http://***:***@h:1");
  });

  it("either reads a value or refuses it, whatever it holds", () => {
    const anyText = fc.oneof(
      fc.string({ unit: "binary", maxLength: 80 }),
      fc.stringMatching(/^(?:[a-z0-9]{1,7}:\/\/)?(?:[ -~]{0,12}@)?[ -~]{0,12}(?::[0-9]{0,6})?[ -~]{0,6}$/),
    );
    fc.assert(
      fc.property(anyText, fc.boolean(), (value, socks) => {
        try {
          readProxyEnvironment({ http_proxy: value, no_proxy: value }, { socks });
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidProxySettingsError);
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

function route(environment: Environment, url: string): string {
  const { proxy, reason } = decideProxy(readProxyEnvironment(environment), new URL(url));
  return proxy?.address ?? reason;
}

function refusal(environment: Environment, options?: ProxySettingsOptions): InvalidProxySettingsError {
  try {
    readProxyEnvironment(environment, options);
  } catch (error) {
    if (error instanceof InvalidProxySettingsError) return error;
    throw error;
  }
  throw new Error("The environment was accepted.");
}

function everyTextOf(value: unknown): string {
  const message = value instanceof Error ? `${value.message} ${value.stack}` : "";
  return [String(value), message, JSON.stringify(value), inspect(value, { depth: 9, showHidden: true })].join("\n");
}
