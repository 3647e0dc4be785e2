import type { NoProxyEntry } from "./no-proxy/parse-no-proxy.ts";
import type { ProxySettings } from "./settings.ts";

/** What `proxyEnvironment` may be told. */
export interface ProxyEnvironmentOptions {
  /** The bypass list to write, for instance the value of `portableNoProxy`. @default the entries of the settings */
  readonly noProxy?: string;
}

/**
 * Writes settings as variables that every program reads alike: canonical URLs with scheme and port, in both cases. A proxy
 * that came from `all_proxy` is written for both schemes as well, since Go and Node know no such variable.
 *
 * The values hold credentials. They are for the environment of one child process, never for a log.
 *
 * @returns the variables that have a value; the others should be taken away from an environment that is passed on
 */
export function proxyEnvironment(
  settings: ProxySettings,
  options: ProxyEnvironmentOptions = {},
): Readonly<Record<string, string>> {
  const values = {
    http_proxy: (settings.http ?? settings.all)?.reveal(),
    https_proxy: (settings.https ?? settings.all)?.reveal(),
    all_proxy: settings.all?.reveal(),
    no_proxy: options.noProxy ?? noProxyText(settings.noProxy),
  };
  const pairs = Object.entries(values).filter((pair): pair is [string, string] => (pair[1] ?? "") !== "");
  return Object.fromEntries(
    pairs.flatMap(([name, value]) => [
      [name, value],
      [name.toUpperCase(), value],
    ]),
  );
}

/** The list with commas only. `*` stands alone, since half of all programs understand nothing else. */
function noProxyText(entries: readonly NoProxyEntry[]): string {
  const all = entries.find(({ kind }) => kind === "all");
  if (all !== undefined) return all.text;
  // An entry with white space matches nothing here; other programs would split it and bypass the proxy.
  const texts = entries.map(({ text }) => text).filter((text) => !/[\s\p{Cc}]/u.test(text));
  return [...new Set(texts)].join(",");
}
