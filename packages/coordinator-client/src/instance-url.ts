import { InvalidInstanceUrlError } from "./errors.ts";

/**
 * The address of an instance without what users tend to leave at its end: every `/`, and one `/ci` of very old set-ups.
 * A path prefix is kept; user name, password, query and fragment are dropped.
 *
 * @throws {InvalidInstanceUrlError} not a URL, or neither http nor https
 * @see coordinator-protocol 1.1
 */
export function normaliseInstanceUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new InvalidInstanceUrlError("it is not a URL");
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new InvalidInstanceUrlError(`its scheme is ${parsed.protocol.slice(0, -1)}, not http or https`);
  }
  const path = parsed.pathname.replace(/\/+$/, "").replace(/\/ci$/, "");
  return `${parsed.origin}${path}`;
}
