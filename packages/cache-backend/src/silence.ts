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

/**
 * The same for the request that puts the parts of an upload together: services that do not begin to answer before they have copied all of them take
 * minutes. It is not without a limit, since who asks for it may have none.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
 */
export function limitsOfCompletion(limits: SilenceLimits): SilenceLimits {
  const { headersTimeout } = limits;
  return headersTimeout === 0 ? limits : { ...limits, headersTimeout: Math.max(headersTimeout, COMPLETION_TIMEOUT_MS) };
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
/** As long as one try may take by default. */
const COMPLETION_TIMEOUT_MS = 600_000;
const undiciCodes: ReadonlySet<string> = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);
