import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import type { Invocation } from "../command.ts";
import { UsageError } from "../errors.ts";
import { formatAddress } from "../settings/addresses.ts";
import type { ListenAddress } from "../settings/addresses.ts";

/**
 * Sends a request to the operators' address of a running mirror.
 *
 * @throws {UsageError} nobody answers there, or something else than a mirror does
 */
export async function askOperators(
  address: ListenAddress,
  path: string,
  { method = "GET", patience, signal }: AskOptions,
): Promise<{ readonly body: unknown; readonly link: string | undefined }> {
  const where = formatAddress({ ...address, host: address.host ?? "127.0.0.1" });
  const within = patience === undefined ? signal : AbortSignal.any([signal, patience]);
  let response: IncomingMessage;
  let body: string;
  try {
    response = await send(new URL(`http://${where}${path}`), method, within);
    body = await text(response);
  } catch (error) {
    signal.throwIfAborted();
    if (patience?.aborted === true)
      throw new UsageError(`what listens at ${where} does not answer; is it the operators' address of the mirror?`);
    throw new UsageError(`no mirror answers operators at ${where}; does it run?`, { cause: error });
  }
  const { headers, statusCode = 0 } = response;
  if (statusCode !== 200)
    throw new UsageError(`what listens at ${where} answers ${statusCode}: ${body.trim().slice(0, 500)}`);
  const isDocument = headers["content-type"] === "application/json" && /^[[{]/.test(body);
  if (!isDocument) throw new UsageError(`what listens at ${where} is not the operators' address of a mirror`);
  const link = /<([^>]*)>/.exec(String(headers["link"] ?? ""))?.[1];
  return { body: JSON.parse(body) as unknown, link };
}

/** `fetch` refuses ports that a mirror may well have, such as 6000. @see https://fetch.spec.whatwg.org/#port-blocking */
function send(url: URL, method: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, { agent: false, method, signal }).on("response", resolve).on("error", reject).end();
  });
}

interface AskOptions {
  readonly method?: "DELETE" | "GET";
  /** Aborted when the answer has taken too long. @default as long as it takes */
  readonly patience?: AbortSignal;
  readonly signal: AbortSignal;
}

/** The filter options of a command as a query. */
export function filterQuery(invocation: Invocation): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ["upstream", "search", "name", "reference"]) {
    const value = invocation.text(name);
    if (value !== undefined) query.set(name, value);
  }
  return query;
}
