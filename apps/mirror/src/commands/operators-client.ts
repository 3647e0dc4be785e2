import type { Invocation } from "../command.ts";
import { UsageError } from "../errors.ts";
import { formatAddress, parseListenAddress } from "../settings/addresses.ts";
import type { ListenAddress } from "../settings/addresses.ts";

/**
 * Sends a request to the operators' address of a running mirror.
 *
 * @param options - `address`: where that is, when it is not the invocation alone that says it
 */
export async function askOperators(
  invocation: Invocation,
  path: string,
  options: { readonly method?: "DELETE" | "GET"; readonly signal: AbortSignal; readonly address?: ListenAddress },
): Promise<{ readonly body: unknown; readonly link: string | undefined }> {
  const given = options.address === undefined ? undefined : formatAddress(options.address);
  const text = given ?? invocation.text("operators") ?? "127.0.0.1:6001";
  const address = options.address ?? parseListenAddress(text);
  if (address === undefined)
    throw new UsageError(`--operators: ${JSON.stringify(text)} is no address such as 127.0.0.1:6001`);
  const { method = "GET", signal } = options;
  const url = `http://${formatAddress({ ...address, host: address.host ?? "127.0.0.1" })}${path}`;
  let response: Response;
  try {
    response = await fetch(url, { method, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new UsageError(`no mirror answers operators at ${text}; does it run?`, { cause: error });
  }
  if (!response.ok)
    throw new UsageError(`the mirror at ${text} answers ${response.status}: ${(await response.text()).trim()}`);
  const link = /<([^>]*)>/.exec(response.headers.get("link") ?? "")?.[1];
  return { body: await response.json(), link };
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
