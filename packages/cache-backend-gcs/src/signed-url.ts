import { createHash } from "node:crypto";
import type { StoreCall } from "@fleetfoot/cache-backend";
import type { GcsService } from "./service.ts";

/** What is to be signed. */
export interface UrlToSign {
  readonly method: "GET" | "HEAD" | "PUT" | "POST";
  /** Of the object, without a query. */
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Headers that must be sent so; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly lifetimeMs: number;
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

/**
 * Signs a URL by the scheme V4, for exactly one method.
 *
 * @see https://cloud.google.com/storage/docs/authentication/canonical-requests
 */
export async function signUrl(service: GcsService, call: StoreCall, order: UrlToSign): Promise<string> {
  const { method, url, query = {}, headers, lifetimeMs, nowMs } = order;
  const { host, pathname } = new URL(url);
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  const seconds = Math.min(7 * 24 * 3600, Math.max(1, Math.ceil(lifetimeMs / 1000)));
  const sorted = Object.entries({ ...headers, host }).sort(([left], [right]) => (left < right ? -1 : 1));
  const names = sorted.map(([name]) => name).join(";");
  const parameters = {
    ...query,
    "X-Goog-Algorithm": algorithm,
    "X-Goog-Credential": `${await service.signer(call)}/${scope}`,
    "X-Goog-Date": time,
    "X-Goog-Expires": String(seconds),
    "X-Goog-SignedHeaders": names,
  };
  const search = Object.entries(parameters)
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .sort()
    .join("&");
  const lines = sorted.map(([name, value]) => `${name}:${value.trim().replaceAll(/\s{2,}/g, " ")}\n`).join("");
  const canonical = [method, pathname, search, lines, names, "UNSIGNED-PAYLOAD"].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const signature = await service.sign(call, [algorithm, time, scope, digest].join("\n"));
  return `${url}?${search}&X-Goog-Signature=${signature}`;
}

const algorithm = "GOOG4-RSA-SHA256";

/** Escapes what a query, or a segment of a path, must not have in it; more than `encodeURIComponent` does. */
export function escape(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
