/** How long a connection may be silent, as undici takes it. */
export interface SilenceLimits {
  readonly headersTimeout: number;
  readonly bodyTimeout: number;
}

/**
 * Limits of one request: a service that takes nothing more of what is sent, does not answer, or ends in the middle of its answer is not waited for
 * any longer than this. Whoever reads an answer slowly is not limited.
 *
 * @param idleTimeoutMs - in milliseconds. @default 30000
 * @see https://undici.nodejs.org/#/docs/api/Dispatcher (cache document 4.1)
 */
export function silenceLimits(idleTimeoutMs: number = DEFAULT_IDLE_TIMEOUT_MS): SilenceLimits {
  return { headersTimeout: idleTimeoutMs, bodyTimeout: idleTimeoutMs };
}

/** What undici throws at such a limit, told in a way that the SDKs of the clouds understand: they try the same request again. */
export function asSilence(error: unknown, idleTimeoutMs: number = DEFAULT_IDLE_TIMEOUT_MS): unknown {
  if (!(error instanceof Error) || !("code" in error) || !undiciCodes.has(String(error.code))) return error;
  return new SilenceError(`the connection was silent for ${idleTimeoutMs} ms`, { cause: error });
}

class SilenceError extends Error {
  override readonly name = "TimeoutError";
  readonly code = "ETIMEDOUT";
}

const DEFAULT_IDLE_TIMEOUT_MS = 30_000;
const undiciCodes: ReadonlySet<string> = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);
