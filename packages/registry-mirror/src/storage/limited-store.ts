import {
  bodyFrom,
  CacheStoreError,
  canDelete,
  canList,
  canPresign,
  canPutConditionally,
  canReadRanges,
  readChunks,
} from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DeletesObjects,
  ListsObjects,
  OperationOptions,
  PresignsObjects,
  PutBody,
  PutOptions,
  PutsConditionally,
  ReadsRanges,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { CircuitBreaker } from "../circuit-breaker.ts";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { orAbort } from "../single-flight.ts";

export interface StoreLimits {
  readonly clock: Clock;
  /** For an answer, and for the next piece of a body. */
  readonly answerMs: number;
  /** For some progress of an upload. */
  readonly uploadMs: number;
}

/**
 * The same store, with the same abilities, of which nobody waits for longer than the limits. One that was silent is left alone for a
 * moment; one request at a time tries it anew.
 */
export function limitWaits(store: CacheStore, limits: StoreLimits): CacheStore {
  const { answerMs, clock } = limits;
  const breaker = new CircuitBreaker(() => clock.now());

  const failure = (code: "timeout" | "unavailable", operation: string, object: string): CacheStoreError => {
    const reason = code === "timeout" ? "it did not answer in time" : "it did not answer a moment ago";
    return new CacheStoreError({ code, store: store.kind, operation, object, reason });
  };

  async function answered<Result>(
    operation: string,
    object: string,
    { signal }: OperationOptions,
    action: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    signal?.throwIfAborted();
    if (!breaker.tryToEnter()) throw failure("unavailable", operation, object);
    const late = (): Error => failure("timeout", operation, object);
    try {
      const result = await withDeadline(clock, answerMs, late, action, signal);
      breaker.succeed();
      return result;
    } catch (error) {
      if (signal?.aborted === true) breaker.leave();
      else if (isTimeout(error)) breaker.fail();
      else breaker.succeed();
      throw error;
    }
  }

  async function opened(
    operation: string,
    name: string,
    options: OperationOptions,
    open: (signal: AbortSignal) => Promise<StoredObject | undefined>,
  ): Promise<StoredObject | undefined> {
    const object = await answered(operation, name, options, async (signal) => {
      const found = await open(signal);
      // It came too late for anybody to read it.
      if (signal.aborted) await found?.body.cancel().catch(() => {});
      return found;
    });
    if (object === undefined) return undefined;
    const reader = object.body.getReader();
    const chunks = pieces(reader, () => failure("timeout", operation, name));
    // Also when nothing of it was ever read: a service may hold the object as long as it is open.
    const onEnd = async (): Promise<void> => void reader.cancel().catch(() => {});
    return { facts: object.facts, body: bodyFrom(chunks, options.signal, onEnd) };
  }

  async function* pieces(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    late: () => Error,
  ): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const { done, value } = await withDeadline(clock, answerMs, late, () => reader.read());
        if (done) return;
        yield value;
      }
    } catch (error) {
      if (isTimeout(error)) breaker.fail();
      throw error;
    }
  }

  async function uploaded<Result>(
    operation: string,
    name: string,
    body: PutBody,
    options: PutOptions,
    action: (body: PutBody, options: PutOptions) => Promise<Result>,
  ): Promise<Result> {
    options.signal?.throwIfAborted();
    if (breaker.isOpen) throw failure("unavailable", operation, name);
    const progress = createProgress(limits, () => failure("timeout", operation, name));
    const signal = AbortSignal.any([progress.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const onProgress: PutOptions["onProgress"] = (facts) => {
      progress.note();
      options.onProgress?.(facts);
    };
    try {
      return await orAbort(action(watched(body, progress.note), { ...options, onProgress, signal }), signal);
    } catch (error) {
      if (isTimeout(error)) breaker.fail();
      throw error;
    } finally {
      progress.end();
    }
  }

  const deletes = (able: CacheStore & DeletesObjects): DeletesObjects => ({
    delete: (name, options = {}) =>
      answered("delete", name, options, (signal) => able.delete(name, { ...options, signal })),
  });
  const ranges = (able: CacheStore & ReadsRanges): ReadsRanges => ({
    getRange: (name, range, options = {}) =>
      opened("getRange", name, options, (signal) => able.getRange(name, range, { signal })),
  });
  const presigns = (able: CacheStore & PresignsObjects): PresignsObjects => ({
    presign: (request, options = {}) =>
      answered("presign", request.name, options, (signal) => able.presign(request, { signal })),
  });
  const putsIf = (able: CacheStore & PutsConditionally): PutsConditionally => ({
    putIf: (name, body, condition, options = {}) =>
      uploaded("putIf", name, body, options, (sent, more) => able.putIf(name, sent, condition, more)),
  });
  const lists = (able: CacheStore & ListsObjects): ListsObjects => ({
    async *list(prefix, options = {}) {
      const found = able.list(prefix, options)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const { done, value } = await answered("list", prefix, options, () => found.next());
          if (done === true) return;
          yield value;
        }
      } finally {
        found.return?.()?.catch(() => {});
      }
    },
  });

  return {
    kind: store.kind,
    head: (name, options = {}) => answered("head", name, options, (signal) => store.head(name, { signal })),
    get: (name, options = {}) => opened("get", name, options, (signal) => store.get(name, { signal })),
    put: (name, body, options = {}) =>
      uploaded("put", name, body, options, (sent, more) => store.put(name, sent, more)),
    ...(canDelete(store) ? deletes(store) : {}),
    ...(canReadRanges(store) ? ranges(store) : {}),
    ...(canPresign(store) ? presigns(store) : {}),
    ...(canPutConditionally(store) ? putsIf(store) : {}),
    ...(canList(store) ? lists(store) : {}),
  };
}

interface Progress {
  /** Aborted when there was none for too long. */
  readonly signal: AbortSignal;
  readonly note: () => void;
  end(): void;
}

function createProgress({ clock, uploadMs }: StoreLimits, late: () => Error): Progress {
  const stop = new AbortController();
  const ended = new AbortController();
  let lastAtMs = clock.now();
  const watch = async (): Promise<void> => {
    for (let leftMs = uploadMs; leftMs > 0; leftMs = lastAtMs + uploadMs - clock.now())
      await clock.sleep(leftMs, ended.signal);
    stop.abort(late());
  };
  // Rejects when the upload ends first, which is the usual case.
  watch().catch(() => {});
  return {
    signal: stop.signal,
    note: () => {
      lastAtMs = clock.now();
    },
    end: () => ended.abort(),
  };
}

/** The same body, whose every piece that is taken counts. */
function watched({ bytes, open, openRange }: PutBody, onPiece: () => void): PutBody {
  const noting = (stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => bodyFrom(noted(stream, onPiece));
  return {
    bytes,
    open: () => noting(open()),
    ...(openRange === undefined ? {} : { openRange: (start: number, end: number) => noting(openRange(start, end)) }),
  };
}

async function* noted(stream: ReadableStream<Uint8Array>, onPiece: () => void): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of readChunks(stream)) {
    onPiece();
    yield chunk;
  }
}

function isTimeout(error: unknown): boolean {
  return CacheStoreError.isInstance(error) && error.code === "timeout";
}
