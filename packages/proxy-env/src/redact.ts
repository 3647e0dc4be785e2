import { percentEncode } from "./proxy-server.ts";
import type { ProxyServer } from "./proxy-server.ts";

/**
 * Every text that gives a proxy's password away, for a log's masker: raw, percent-encoded in both cases, as JSON has it, each
 * also behind the user, and the Base64 of both. The longest come first. Texts under 4 characters are left out: they occur
 * everywhere.
 */
export function proxySecretForms(server: ProxyServer): readonly string[] {
  const credentials = server.credentials();
  if (credentials === undefined) return [];
  const { username, password = "" } = credentials;
  const pair = { raw: `${username}:${password}`, encoded: `${percentEncode(username)}:${percentEncode(password)}` };
  const forms = [
    ...[pair.raw, password].flatMap((text) => [text, JSON.stringify(text).slice(1, -1)]),
    ...[pair.encoded, percentEncode(password)].flatMap((text) => [text, lowerCaseEncoding(text)]),
    Buffer.from(pair.raw).toString("base64"),
  ];
  return [...new Set(forms)]
    .filter((form) => form.length >= SHORTEST_SECRET && password !== "")
    .sort((one, other) => other.length - one.length);
}

/**
 * Takes proxy credentials out of a text: user info of every URL, with or without scheme, and the values of
 * `Proxy-Authorization` and `Authorization` headers. Hosts and ports stay.
 *
 * @param servers - their passwords go wherever they occur @default none are known
 */
export function redactProxySecrets(text: string, servers: readonly ProxyServer[] = []): string {
  let result = text
    .replaceAll(/\b((?:Proxy-)?Authorization:\s*(?:Basic|NTLM|Negotiate|Bearer))\s+[^\s"']+/gi, "$1 ***")
    // A raw password may hold "@", and even "/", unless what stands before that is a port.
    .replaceAll(
      /([a-z][a-z0-9+.-]*:\/\/)(?:[^\s"'<>/?#:]*:(?!\d*[/?#])[^\s"'<>]*|[^\s"'<>/?#]*)@/gi,
      `$1${REDACTED_USER_INFO}`,
    )
    .replaceAll(/(^|[\s"'=(])[^\s"'=(:/@]+:[^\s"'/]*@(?=[\w.[-])/g, `$1${REDACTED_USER_INFO}`);
  for (const server of servers) {
    for (const form of proxySecretForms(server)) result = result.replaceAll(form, "***");
  }
  return result;
}

const SHORTEST_SECRET = 4;
const REDACTED_USER_INFO = "***:***@";

function lowerCaseEncoding(text: string): string {
  return text.replaceAll(/%[0-9A-F]{2}/g, (sequence) => sequence.toLowerCase());
}
