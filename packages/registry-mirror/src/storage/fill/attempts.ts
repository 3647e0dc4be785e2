import type { Clock } from "../../clock.ts";
import { UpstreamError } from "../../errors.ts";
import { orAbort } from "../../single-flight.ts";
import type { CheckedBytes } from "./checked-bytes.ts";
import type { Patience } from "./patience.ts";
import type { BlobSource, OpenedSource, TakeChunk } from "./source.ts";

export interface AttemptOptions {
  readonly source: BlobSource;
  readonly clock: Clock;
  readonly patience: Patience;
  /** What has come so far. */
  readonly checked: CheckedBytes;
  /** Told what comes next, before the first chunk. */
  readonly begin: (opened: OpenedSource) => Promise<void>;
  readonly take: TakeChunk;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/**
 * Fetches a blob, and goes on where it broke off, as long as there is hope.
 *
 * @throws {UpstreamError} what ended the last try
 */
export async function fetchInTries(options: AttemptOptions): Promise<void> {
  const { clock, patience, signal } = options;
  for (let tries = 0; ; tries += 1) {
    try {
      return await fetchOnce(options);
    } catch (error) {
      signal.throwIfAborted();
      const pauseMs = pausesMs[tries];
      // Who has got nothing yet can be told at once, and go elsewhere.
      const isFinal = error instanceof UpstreamError && (!error.retryable || error.code === "wrong-bytes");
      if (!patience.hasAnswer || isFinal || pauseMs === undefined || !patience.allowsTryAfter(pauseMs)) throw error;
      await clock.sleep(pauseMs, signal);
    }
  }
}

const pausesMs: readonly number[] = [500, 1000, 2000];

async function fetchOnce(options: AttemptOptions): Promise<void> {
  const { begin, checked, patience, signal, source, take } = options;
  const attempt = new AbortController();
  const ended = new AbortController();
  const onStop = (): void => attempt.abort(signal.reason);
  signal.addEventListener("abort", onStop, { once: true });
  patience.beginTry();
  void watch(options, attempt, ended.signal);
  try {
    signal.throwIfAborted();
    const opened = await open(options, attempt.signal);
    const discard = (): void => opened.discard();
    attempt.signal.addEventListener("abort", discard, { once: true });
    try {
      attempt.signal.throwIfAborted();
      await begin(opened);
      patience.noteAnswer();
      await opened.read(skipping(checked.bytes - opened.offset, patience, take));
    } finally {
      attempt.signal.removeEventListener("abort", discard);
      discard();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (attempt.signal.aborted) throw attempt.signal.reason;
    if (error instanceof UpstreamError) throw error;
    const reason = "the body broke off";
    throw new UpstreamError({ code: "unreachable", upstream: source.id, reason }, { cause: error });
  } finally {
    ended.abort();
    signal.removeEventListener("abort", onStop);
  }
  if (checked.isTooShort)
    throw new UpstreamError({ code: "unreachable", upstream: source.id, reason: "the body ended early" });
}

async function open({ checked, patience, source }: AttemptOptions, signal: AbortSignal): Promise<OpenedSource> {
  const opening = source.open(checked.bytes, signal, (wait) => patience.pausedWhile(wait));
  try {
    return await orAbort(opening, signal);
  } catch (error) {
    // What still comes, from a source that does not look at its signal, is not wanted any more.
    opening.then(
      (late) => late.discard(),
      () => {},
    );
    throw error;
  }
}

/** Ends a try when patience is over. */
async function watch(
  { clock, patience, source }: AttemptOptions,
  attempt: AbortController,
  ended: AbortSignal,
): Promise<void> {
  try {
    while (!patience.isOver) await clock.sleep(patience.lookAgainMs, ended);
  } catch {
    // The try has ended.
    return;
  }
  const reason = "it sent nothing, or too little, for too long";
  attempt.abort(new UpstreamError({ code: "timeout", upstream: source.id, reason }));
}

/** Passes over what is here already, from a source that begins before it: that it sends this is progress, too. */
function skipping(bytes: number, patience: Patience, take: TakeChunk): TakeChunk {
  let left = bytes;
  return (chunk) => {
    const skipped = Math.min(left, chunk.byteLength);
    left -= skipped;
    patience.noteBytes(chunk.byteLength);
    return skipped < chunk.byteLength ? take(chunk.subarray(skipped)) : undefined;
  };
}
