import { isIP, isIPv6 } from "node:net";

/** Where something listens. */
export interface ListenAddress {
  /** An address or a name; `undefined` is every address of the machine. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Reads `127.0.0.1:6000`, `[::1]:6000`, `:6000` or `mirror.example:6000`; undefined when it is none. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits = ""] = /^(?:\[([^\]]+)\]|([^:[\]/@\s]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === "" || port > 65_535) return undefined;
  if (bracketed !== undefined)
    return isIPv6(bracketed) ? { host: bracketed === "::" ? undefined : bracketed, port } : undefined;
  const isAll = plain === undefined || plain === "" || plain === "0.0.0.0" || plain === "*";
  return { host: isAll ? undefined : plain, port };
}

/** The form that {@link parseListenAddress} reads. */
export function formatAddress({ host, port }: ListenAddress): string {
  return `${host === undefined ? "0.0.0.0" : isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Whether only this machine can come there. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host !== undefined && (host === "localhost" || host === "::1" || host.startsWith("127."));
}

/** Where an address of this machine lies, as far as it matters for who can reach it. */
export type Reach = "carrier" | "link-local" | "loopback" | "private" | "private-v6" | "public" | "public-v6";

/** Says how far an address reaches; undefined for what is no address. */
export function reachOf(address: string): Reach | undefined {
  const family = isIP(address);
  if (family === 0) return undefined;
  if (family === 6) {
    if (address === "::1") return "loopback";
    if (/^fe[89ab]/i.test(address)) return "link-local";
    return /^f[cd]/i.test(address) ? "private-v6" : "public-v6";
  }
  const [a = 0, b = 0] = address.split(".").map(Number);
  if (a === 127) return "loopback";
  if (a === 169 && b === 254) return "link-local";
  if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)) return "private";
  return a === 100 && b >= 64 && b < 128 ? "carrier" : "public";
}
