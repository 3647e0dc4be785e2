import type { ArtifactFile } from "../client.ts";
import type { Transport, WireRequest, WireResponse } from "../transport/transport.ts";
import { writeAll } from "./artifact-file.ts";

export interface PartsOptions {
  readonly transport: Transport;
  /** A GET for the object, without tokens that do not belong to its origin. */
  readonly request: WireRequest;
  readonly file: ArtifactFile;
  readonly partBytes: number;
  /** 2 or more. */
  readonly parallelParts: number;
}

export interface PartsResult {
  /** Whether the file is whole; when it is not, it is to be fetched in one piece. */
  readonly complete: boolean;
  /** Requests that were sent. */
  readonly requests: number;
}

/**
 * Fetches an object in parts, several at a time, when its server gives parts and there is more than one. The parts have to be of
 * the same object in the same state, and each as long as it was asked for.
 *
 * @throws what the file throws, and `request.signal.reason`
 * @see coordinator-protocol 9.2, https://www.rfc-editor.org/rfc/rfc9110#section-14
 */
export async function downloadParts(options: PartsOptions): Promise<PartsResult> {
  const { request, file, partBytes, parallelParts } = options;
  const stop = new AbortController();
  const signal = request.signal === undefined ? stop.signal : AbortSignal.any([request.signal, stop.signal]);
  let requests = 0;
  const fetchRange = async (range: string, etag?: string): Promise<WireResponse> => {
    requests += 1;
    // A zipped part would be no part of the object.
    const headers = { ...request.headers, range: `bytes=${range}`, "accept-encoding": "identity" };
    return await options.transport.send({
      ...request,
      signal,
      headers: etag === undefined ? headers : { ...headers, "if-match": etag },
    });
  };

  let fileError: unknown;
  try {
    const first = await fetchRange("0-0");
    const total = totalOf(first, 0, 0);
    const etag = strongTag(first.header("etag"));
    await first.discard(request.signal);
    if (total === undefined || total <= partBytes) return { complete: false, requests };
    await onFile(() => file.truncate(0));

    let next = 0;
    const work = async (): Promise<void> => {
      while (next < total && !signal.aborted) {
        const start = next;
        const end = Math.min(start + partBytes, total) - 1;
        next = end + 1;
        const response = await fetchRange(`${start}-${end}`, etag);
        if (totalOf(response, start, end) !== total) {
          await response.discard(request.signal);
          throw new Error("the server does not give the part that was asked for");
        }
        await savePart(response, start, end);
      }
    };
    const workers = Array.from({ length: Math.min(parallelParts, Math.ceil(total / partBytes)) }, () =>
      work().catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    );
    const ended = await Promise.allSettled(workers);
    request.signal?.throwIfAborted();
    if (fileError !== undefined) throw fileError;
    return { complete: ended.every(({ status }) => status === "fulfilled"), requests };
  } catch (error) {
    request.signal?.throwIfAborted();
    if (fileError !== undefined) throw error;
    return { complete: false, requests };
  }

  /** What goes wrong here does not go better in one piece. */
  async function onFile<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      fileError ??= error;
      throw error;
    }
  }

  async function savePart(response: WireResponse, start: number, end: number): Promise<void> {
    const reader = response.reader();
    let position = start;
    try {
      for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) {
        if (position + chunk.length > end + 1) throw new Error("the part is longer than it was announced");
        const at = position;
        position = await onFile(() => writeAll(file, chunk, at));
      }
    } finally {
      reader.cancel();
    }
    if (position !== end + 1) throw new Error("the part is shorter than it was announced");
  }
}

/** The length of the whole object, of an answer that has exactly these bytes of it. */
function totalOf(response: WireResponse, start: number, end: number): number | undefined {
  if (response.status !== 206) return undefined;
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.header("content-range") ?? "") ?? [];
  const length = Number(total);
  return Number(from) === start && Number(to) === end && Number.isSafeInteger(length) ? length : undefined;
}

/** A weak tag does not promise the same bytes. */
function strongTag(etag: string | undefined): string | undefined {
  return etag?.startsWith('"') === true ? etag : undefined;
}
