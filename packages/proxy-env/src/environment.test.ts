import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decideProxy } from "./decide.ts";
import { proxyEnvironment } from "./environment.ts";
import { InvalidProxySettingsError } from "./errors.ts";
import { readProxyEnvironment } from "./settings.ts";
import type { ProxySettings } from "./settings.ts";
import type { Environment } from "./variables.ts";

describe("proxyEnvironment", () => {
  it("writes both cases of each variable that has a value", () => {
    const settings = readProxyEnvironment({
      HTTP_PROXY: "h:1",
      https_proxy: "HTTPS://u:p@s",
      NO_PROXY: " a.test , .B.test",
    });
    expect(proxyEnvironment(settings)).toEqual({
      http_proxy: "http://h:1",
      HTTP_PROXY: "http://h:1",
      https_proxy: "https://u:p@s:443",
      HTTPS_PROXY: "https://u:p@s:443",
      no_proxy: "a.test,.B.test",
      NO_PROXY: "a.test,.B.test",
    });
  });

  it("writes nothing when there is nothing", () => {
    expect(proxyEnvironment(readProxyEnvironment({}))).toEqual({});
  });

  it("spells all_proxy out, which Go and Node do not read", () => {
    const written = proxyEnvironment(readProxyEnvironment({ all_proxy: "h:1", http_proxy: "i:1" }));
    expect(written).toMatchObject({ http_proxy: "http://i:1", https_proxy: "http://h:1", all_proxy: "http://h:1" });
  });

  it("writes a list with * as nothing but *", () => {
    expect(proxyEnvironment(readProxyEnvironment({ no_proxy: "a.test, *" }))["no_proxy"]).toBe("*");
  });

  it("leaves entries out that other programs would split", () => {
    const settings = readProxyEnvironment({ no_proxy: "a.test b.test,c.test" });
    expect(proxyEnvironment(settings)["no_proxy"]).toBe("c.test");
  });

  it("takes another list, for instance a portable one", () => {
    expect(proxyEnvironment(readProxyEnvironment({ no_proxy: "a.test" }), { noProxy: "x,y" })["NO_PROXY"]).toBe("x,y");
  });

  it("is read again as the same decisions", () => {
    const host = fc.oneof(
      fc.constantFrom(
        "example.com",
        "a.example.com",
        "localhost",
        "10.1.2.3",
        "[2001:db8::1]",
        "docker",
        "xn--bcher-kva.test",
      ),
      fc.domain(),
      fc.ipV4(),
    );
    const entry = fc.oneof(
      host,
      fc.tuple(fc.constantFrom("*.", ".", "*"), host).map((parts) => parts.join("")),
      fc.tuple(host, fc.constantFrom(":80", ":443", ":8080", "/8", "/33")).map((parts) => parts.join("")),
      fc.string({ maxLength: 8 }),
    );
    const list = fc.array(entry, { maxLength: 6 }).map((entries) => entries.join(", "));
    const userInfo = fc.oneof(
      fc.constant(""),
      fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })).map(encoded),
    );
    const proxy = fc.tuple(
      fc.constantFrom("", "http://", "https://", "HTTP://"),
      userInfo,
      host,
      fc.constantFrom("", ":1", ":80"),
    );
    const url = fc
      .tuple(fc.constantFrom("http", "https", "ws", "wss"), host, fc.constantFrom("", ":80", ":8080"))
      .map(([scheme, name, port]) => new URL(`${scheme}://${name}${port}/`));
    const environment = fc.record({ http_proxy: proxy, HTTPS_PROXY: proxy, all_proxy: proxy }, { requiredKeys: [] });
    fc.assert(
      fc.property(environment, list, fc.array(url, { minLength: 1, maxLength: 5 }), (proxies, noProxy, urls) => {
        const variables = Object.entries(proxies).map(([name, parts]) => [name, parts.join("")]);
        const original = accepted({ ...Object.fromEntries(variables), no_proxy: noProxy });
        fc.pre(original !== undefined);
        const again = readProxyEnvironment(proxyEnvironment(original));
        expect(again.warnings).toEqual([]);
        for (const target of urls) {
          const [before, after] = [original, again].map((settings) => decideProxy(settings, target));
          expect(after?.proxy?.reveal()).toBe(before?.proxy?.reveal());
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function encoded([username, password]: [string, string]): string {
  return `${encodeURIComponent(username)}:${encodeURIComponent(password)}@`;
}

function accepted(environment: Environment): ProxySettings | undefined {
  try {
    return readProxyEnvironment(environment);
  } catch (error) {
    if (error instanceof InvalidProxySettingsError) return undefined;
    throw error;
  }
}
