import { DISCARD_MAX_BYTES, DISCARD_MAX_MS } from "./transport.ts";
import type { BodyReader } from "./transport.ts";

/**
 * Reads a web stream piece by piece.
 *
 * @param signal - ends a read that is open, since a stream need not look at the signal of its request
 * @param onEnd - called once the stream is over or dropped
 */
export function bodyReader(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal | undefined,
  onEnd: () => void,
): BodyReader {
  if (body === null) {
    onEnd();
    return { read: () => Promise.resolve(undefined), cancel: ignore };
  }
  const reader = body.getReader();
  const cancel = (): void => {
    onEnd();
    reader.cancel().catch(ignore);
  };
  return {
    async read() {
      try {
        const { done, value } = await unlessAborted(reader.read(), signal);
        if (done) {
          onEnd();
        }
        return value;
      } catch (error) {
        cancel();
        throw error;
      }
    },
    cancel,
  };
}

/** The whole body; undefined when it is longer or takes longer than allowed. */
export async function readAll(
  reader: BodyReader,
  maxBytes: number,
  maxMs: number | undefined,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let late = false;
  const timer =
    maxMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true;
          reader.cancel();
        }, maxMs);
  try {
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) {
      length += chunk.length;
      if (length > maxBytes) {
        reader.cancel();
        return undefined;
      }
      chunks.push(chunk);
    }
    return late ? undefined : Buffer.concat(chunks, length);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads what is left within bounds, then drops it. Never rejects. */
export async function discardBody(reader: BodyReader, signal: AbortSignal | undefined): Promise<void> {
  const timer = setTimeout(reader.cancel, DISCARD_MAX_MS);
  signal?.addEventListener("abort", reader.cancel, { once: true });
  try {
    let length = 0;
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) {
      length += chunk.length;
      if (length > DISCARD_MAX_BYTES) {
        reader.cancel();
        return;
      }
    }
  } catch {
    // A body that nobody wants may break.
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", reader.cancel);
  }
}

/** First value of a header. `Headers` joins what occurred several times, which matters for the two that name a wait. */
export function headerValue(headers: Headers, name: string): string | undefined {
  const joined = headers.get(name);
  // The platform leaves tabs at the end of a value.
  return joined === null ? undefined : firstOf(name, joined).trim();
}

/** An empty value at the end leaves a comma alone. */
function firstOf(name: string, joined: string): string {
  if (name === "retry-after") return joined.split(/,(?: |$)/, 1)[0] ?? "";
  // The value of this one holds a comma of its own.
  const several = name === "ratelimit-resettime" ? /^([a-z]{3}, [^,]*)?,(?: |$)/i.exec(joined) : null;
  return several === null ? joined : (several[1] ?? "");
}

/** Rejects as soon as the signal is aborted, whether the work looks at it or not. */
export function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) {
    return work;
  }
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) {
      onAbort();
    }
    signal.addEventListener("abort", onAbort, { once: true });
    const settled = (): void => signal.removeEventListener("abort", onAbort);
    work.then(resolve, reject).then(settled, settled);
  });
}

function ignore(): void {
  // The other end has gone already.
}
