import { describe, expect, it } from "vitest";

import { parseProxyUrl } from "./parse-proxy-url.ts";
import { proxySecretForms, redactProxySecrets } from "./redact.ts";

const server = parseProxyUrl(`http://runner:${encodeURIComponent('s/cr"t@é')}@proxy.corp:3128`).server;

describe("redactProxySecrets", () => {
  it.each([
    ["http://user:pw@proxy.corp:3128/path", "http://***:***@proxy.corp:3128/path"],
    ["use 'http://user:p@ss@h:1', please", "use 'http://***:***@h:1', please"],
    ["HTTP_PROXY=user:pw@proxy.corp:3128", "HTTP_PROXY=***:***@proxy.corp:3128"],
    ["> Proxy-Authorization: Basic dXNlcjpwdw==", "> Proxy-Authorization: Basic ***"],
    ["proxy-authorization: NTLM TlRMTVNTUAAB", "proxy-authorization: NTLM ***"],
    ["mail to user@example.com at 10:30", "mail to user@example.com at 10:30"],
    ["http://user:p/w@h:1", "http://***:***@h:1"],
    ["http://token@h:1", "http://***:***@h:1"],
    ["https://example.com:8080/@scope/package", "https://example.com:8080/@scope/package"],
    ["https://example.com/@scope/package", "https://example.com/@scope/package"],
  ])("turns %j into %j", (text, expected) => {
    expect(redactProxySecrets(text)).toBe(expected);
  });

  it("takes a known password out wherever it occurs", () => {
    const forms = server === undefined ? [] : proxySecretForms(server);
    expect(forms).toEqual(
      expect.arrayContaining(['s/cr"t@é', "s%2Fcr%22t%40%C3%A9", "s%2fcr%22t%40%c3%a9", 's/cr\\"t@é']),
    );
    for (const form of forms) expect(redactProxySecrets(`a ${form} b`, server && [server])).toBe("a *** b");
  });

  it("knows no form of a password that is shorter than 4 characters, except with its user", () => {
    const short = parseProxyUrl("http://user:abc@h:1").server;
    expect(short && proxySecretForms(short)).toEqual([Buffer.from("user:abc").toString("base64")]);
    const none = parseProxyUrl("http://h:1").server;
    expect(none && proxySecretForms(none)).toEqual([]);
  });
});
