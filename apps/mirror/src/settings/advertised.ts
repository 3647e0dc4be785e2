import { isIPv6 } from "node:net";

/** How clients call the mirror, as the operator says it. */
export interface Advertised {
  /** Undefined unless it was given, for a mirror behind something that speaks TLS in its place. */
  readonly scheme: "http" | "https" | undefined;
  /** As a URL has it: IPv6 in brackets. */
  readonly host: string;
  /** Undefined when none was given. */
  readonly port: number | undefined;
}

/**
 * Reads `mirror.example`, `10.1.2.3:6000`, `fd00::1`, `[fd00::1]:6000` or `https://mirror.example`.
 *
 * @param problems - gets a line when it is none of these
 */
export function readAdvertised(text: string, problems: string[]): Advertised | undefined {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = isUrl ? text : `http://${isIPv6(text) ? `[${text}]` : text}`;
  const [, digits] = /^[^:]+:\/\/(?:\[[^\]]*\]|[^:/]*):(\d+)\/?$/.exec(url) ?? [];
  const isPort = digits === undefined || (Number(digits) > 0 && Number(digits) <= 65_535);
  const problem = isPort ? mirrorUrlProblem(url) : "it names a port that nobody can connect to";
  if (problem !== undefined) {
    const shown = text.replace(/\/\/.*@/s, "//[redacted]@");
    problems.push(`advertise: ${JSON.stringify(shown)} cannot be how clients call the mirror: ${problem}`);
    return undefined;
  }
  const { hostname, protocol } = new URL(url);
  const scheme = protocol === "https:" ? "https" : "http";
  const usual = isUrl ? (scheme === "https" ? 443 : 80) : undefined;
  return {
    scheme: isUrl ? scheme : undefined,
    host: hostname,
    port: digits === undefined ? usual : Number(digits),
  };
}

/**
 * What is wrong with a mirror's URL; docker-machine pastes it into a line of a shell.
 *
 * @returns undefined when nothing is
 */
export function mirrorUrlProblem(url: string): string | undefined {
  if (/[\s"'`$\\;&|<>()]/.test(url)) return "it has a character that a shell would read";
  if (!URL.canParse(url)) return "it is no URL";
  const { hash, host, password, pathname, protocol, search, username } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return "it must begin with http:// or https://";
  if (username !== "" || password !== "") return "it must not hold credentials";
  if (host === "" || search !== "" || hash !== "" || pathname !== "/") return "it must be a host and a port only";
  return undefined;
}
