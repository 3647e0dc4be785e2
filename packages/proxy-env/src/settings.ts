import { InvalidProxySettingsError } from "./errors.ts";
import type { ProxySettingProblem } from "./errors.ts";
import { parseNoProxy } from "./no-proxy/parse-no-proxy.ts";
import type { NoProxyEntry } from "./no-proxy/parse-no-proxy.ts";
import { parseProxyUrl } from "./parse-proxy-url.ts";
import type { ProxyServer } from "./proxy-server.ts";
import { readVariable } from "./variables.ts";
import type { Environment, ProxyWarning } from "./variables.ts";

/** How proxy variables are read. */
export interface ProxySettingsOptions {
  /** Whether `socks5` and `socks5h` proxies are accepted; the dispatcher cannot use them. @default false */
  readonly socks?: boolean;
  /** Whether `localhost`, 127.0.0.0/8 and ::1 are reached directly, whatever the list says. @default true */
  readonly loopbackBypass?: boolean;
  /** Whether white space separates entries of the bypass list, too. @default false */
  readonly lenientSeparators?: boolean;
  /** Whether `example.com.` and `example.com` are the same to the bypass list. @default false */
  readonly stripTrailingDot?: boolean;
}

/** Which proxy to use for what: a snapshot that never changes. Printed, it shows no credentials. */
export interface ProxySettings {
  /** For `http:` and `ws:` targets. */
  readonly http: ProxyServer | undefined;
  /** For `https:` and `wss:` targets. */
  readonly https: ProxyServer | undefined;
  /** What stands in for both of them. */
  readonly all: ProxyServer | undefined;
  /** Targets to reach directly, in the order of the list. */
  readonly noProxy: readonly NoProxyEntry[];
  readonly loopbackBypass: boolean;
  readonly stripTrailingDot: boolean;
  /** What was read otherwise than somebody may have meant it. */
  readonly warnings: readonly ProxyWarning[];
}

/**
 * Reads the proxy variables of an environment, once. Lower case comes before upper case, and an empty value counts as none.
 *
 * @param environment - for instance `process.env`; it is not kept
 * @throws {InvalidProxySettingsError} a value cannot be understood; going on without that proxy would be a direct connection
 *   that nobody wanted
 */
export function readProxyEnvironment(environment: Environment, options: ProxySettingsOptions = {}): ProxySettings {
  const { loopbackBypass = true, stripTrailingDot = false } = options;
  const warnings: ProxyWarning[] = [];
  const problems: ProxySettingProblem[] = [];
  const [http, https, all] = (["http_proxy", "https_proxy", "all_proxy"] as const).map((name) => {
    const variable = readVariable(environment, name, warnings);
    if (variable === undefined) return undefined;
    const parsed = parseProxyUrl(variable.value, options);
    if (parsed.server === undefined) {
      problems.push({ variable: variable.name, reason: parsed.problem });
      return undefined;
    }
    if (parsed.warning !== undefined) {
      warnings.push({ variable: variable.name, code: "path-dropped", message: `${variable.name}: ${parsed.warning}.` });
    }
    return parsed.server;
  });
  const list = readVariable(environment, "no_proxy", warnings);
  const noProxy = parseNoProxy(list?.value ?? "", options);
  if (list !== undefined && noProxy.some(({ text }) => /\s/.test(text))) {
    const message = `${list.name}: an entry with white space inside matches nothing; separate entries with commas.`;
    warnings.push({ variable: list.name, code: "space-in-entry", message });
  }
  if (problems.length > 0) throw new InvalidProxySettingsError(problems);
  return Object.freeze({
    http,
    https,
    all,
    noProxy: Object.freeze(noProxy.map((entry) => Object.freeze(entry))),
    loopbackBypass,
    stripTrailingDot,
    warnings: Object.freeze(warnings),
  });
}
