import { runProgram, startSquid, systemEnvironment } from "@fleetfoot-tooling/systems";
import { describeWithProgram, describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describe, expect, it } from "vitest";

import { proxyEnvironment } from "./environment.ts";
import { parseProxyUrl } from "./parse-proxy-url.ts";
import { proxySecretForms, redactProxySecrets } from "./redact.ts";
import { readProxyEnvironment } from "./settings.ts";
import { startTarget } from "./test-support/target.ts";

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
    expect(short && proxySecretForms(short)).toEqual([Buffer.from("user:abc").toString("base64"), "user:abc"]);
    const none = parseProxyUrl("http://h:1").server;
    expect(none && proxySecretForms(none)).toEqual([]);
  });
});

const authentication = { user: "runner", password: "p@ss:w/rd" };

describeWithProgram("curl", (curl) => {
  describeWithSystem(
    "squid",
    (squid) => {
      it("PE A52: masks user info, password and Basic value in what curl -v prints, and keeps the host", async () => {
        await using target = await startTarget();
        const settings = readProxyEnvironment({ HTTP_PROXY: `runner:p%40ss%3Aw%2Frd@${squid().authority}` });
        const { http } = settings;
        if (http === undefined) throw new Error("not a proxy");
        const environment = { ...systemEnvironment("/nonexistent"), ...proxyEnvironment(settings) };
        const log = await runProgram("sh", ["-c", 'exec "$@" 2>&1', "sh", curl().path, "--verbose", target.origin], {
          environment,
        });
        expect(log).toContain("200 OK");
        const shown = proxySecretForms(http).filter((form) => log.includes(form));
        expect(shown.length).toBeGreaterThanOrEqual(2);

        const redacted = redactProxySecrets(log, [http]);
        for (const form of proxySecretForms(http)) expect(redacted).not.toContain(form);
        expect(redacted).toContain(`http://***:***@${squid().authority}`);
        expect(redacted).toContain("Proxy-Authorization: Basic ***");
        // What a masker for exact texts is given must be enough without knowing what a URL or a header looks like.
        const masked = proxySecretForms(http).reduce((text, form) => text.replaceAll(form, "[MASKED]"), log);
        expect(masked).toContain(`[MASKED]@${squid().authority}`);
        expect(masked).not.toMatch(/runner:|p%40ss|p@ss/);
      });
    },
    () => startSquid({ authentication }),
  );
});
