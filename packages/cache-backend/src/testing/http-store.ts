import { bodyFrom, readChunks, readExactly } from "../bodies.ts";
import { CacheStoreError } from "../errors.ts";
import type { CacheStoreErrorCode } from "../errors.ts";
import { decodeHeaderText, encodeHeaderText } from "../header-text.ts";
import { checkListPrefix, checkMetadata, checkObjectName } from "../object-name.ts";
import type {
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PresignsObjects,
  PutBody,
  PutOptions,
  PutsConditionally,
  ReadsRanges,
  StoredObject,
} from "../store.ts";

export interface HttpStoreOptions {
  /** Where an object server listens, with a slash at the end. */
  readonly url: string;
}

/** Everything that an object server offers. */
export type HttpStore = CacheStore & DeletesObjects & ListsObjects & ReadsRanges & PutsConditionally & PresignsObjects;

/**
 * Creates a store that keeps its objects on an `ObjectServer`, by plain HTTP and without credentials: for tests of what
 * crosses the wire.
 */
export function createHttpStore({ url }: HttpStoreOptions): HttpStore {
  const urlOf = (name: string): string => url + name.split("/").map(encodeURIComponent).join("/");

  async function send(call: Call, init: RequestInit & { duplex?: "half" } = {}): Promise<Response> {
    checkObjectName(call.object, { store: kind, operation: call.operation });
    const { signal } = call;
    signal?.throwIfAborted();
    try {
      return await fetch(urlOf(call.object), { ...init, signal: signal ?? null });
    } catch (error) {
      signal?.throwIfAborted();
      throw new CacheStoreError({ code: "unavailable", ...factsOfCall(call), reason: "no answer" }, { cause: error });
    }
  }

  async function putWhen(
    call: Call,
    body: PutBody,
    headers: Record<string, string>,
    options: PutOptions,
  ): Promise<Response> {
    checkMetadata(options.metadata ?? {}, call.object, { store: kind, operation: call.operation });
    let bodyError: unknown;
    const chunks = async function* (): AsyncGenerator<Uint8Array, void, void> {
      let bytes = 0;
      try {
        for await (const chunk of readExactly(body, factsOfCall(call), call.signal)) {
          yield chunk;
          bytes += chunk.byteLength;
          options.onProgress?.({ bytes, totalBytes: body.bytes });
        }
      } catch (error) {
        bodyError = error;
        throw error;
      }
    };
    for (const [name, value] of Object.entries(options.metadata ?? {}))
      headers[`x-test-meta-${name}`] = encodeHeaderText(value);
    headers["content-length"] = String(body.bytes);
    headers["content-type"] = "application/octet-stream";
    try {
      // An announced empty body has no stream to send, but it must be seen to be empty.
      if (body.bytes === 0) for await (const _ of chunks());
      const content = body.bytes === 0 ? null : bodyFrom(chunks(), call.signal);
      return await send(call, { method: "PUT", headers, body: content, duplex: "half" });
    } catch (error) {
      throw bodyError ?? error;
    }
  }

  return {
    kind,
    async head(name, { signal } = {}) {
      const call = { operation: "head", object: name, signal };
      const response = await send(call, { method: "HEAD" });
      return response.status === 404 ? undefined : factsOf(await accepted(call, response));
    },
    async get(name, { signal } = {}) {
      const call = { operation: "get", object: name, signal };
      const response = await send(call);
      if (response.status === 404) return discarded(response);
      return opened(await accepted(call, response), call);
    },
    async getRange(name, { start, end, version }, { signal } = {}) {
      const call = { operation: "getRange", object: name, signal };
      const headers: Record<string, string> = { range: `bytes=${start}-${end - 1}` };
      if (version !== undefined) headers["if-match"] = version;
      const response = await send(call, { headers });
      if (response.status === 404 || response.status === 412) return discarded(response);
      if (response.status === 416) return { facts: factsOf(response), body: new Blob([]).stream() };
      await accepted(call, response);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw new CacheStoreError({ code: "ranges-ignored", ...factsOfCall(call), reason: "the whole object came" });
      }
      const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
      if (Number(range?.[1]) !== start || (version ?? response.headers.get("etag")) !== response.headers.get("etag")) {
        return discarded(response);
      }
      return opened(response, call);
    },
    async put(name, body, options = {}) {
      const call = { operation: "put", object: name, signal: options.signal };
      const response = await accepted(call, await putWhen(call, body, {}, options));
      return { ...factsOf(response), bytes: body.bytes };
    },
    async putIf(name, body, condition, options = {}) {
      const call = { operation: "putIf", object: name, signal: options.signal };
      const headers = "absent" in condition ? { "if-none-match": "*" } : { "if-match": condition.version };
      const response = await putWhen(call, body, headers, options);
      if (response.status === 412) return undefined;
      return { ...factsOf(await accepted(call, response)), bytes: body.bytes };
    },
    async delete(name, { signal, ifVersion } = {}) {
      const call = { operation: "delete", object: name, signal };
      const headers = ifVersion === undefined ? {} : { "if-match": ifVersion };
      const response = await send(call, { method: "DELETE", headers });
      if (response.status === 404 || response.status === 412) return false;
      await accepted(call, response);
      return true;
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      checkListPrefix(prefix, { store: kind, operation: "list" });
      signal?.throwIfAborted();
      const response = await fetch(`${url}?prefix=${encodeURIComponent(prefix)}`, { signal: signal ?? null });
      yield* (await response.json()) as ListedObject[];
    },
    async presign({ method, name, metadata = {} }) {
      checkObjectName(name, { store: kind, operation: "presign" });
      checkMetadata(metadata, name, { store: kind, operation: "presign" });
      // The server takes nothing else from whoever has this, which is what signatures of other services come to.
      const url = `${urlOf(name)}?only=${method}&of=${encodeURIComponent(name)}`;
      const headers = Object.entries(metadata).map(([key, value]) => [`x-test-meta-${key}`, encodeHeaderText(value)]);
      return { url, headers: Object.fromEntries(headers) as Record<string, string> };
    },
  };
}

const kind = "http";

interface Call extends OperationOptions {
  readonly operation: string;
  readonly object: string;
}

function factsOfCall({ operation, object }: Call): { store: string; operation: string; object: string } {
  return { store: kind, operation, object };
}

async function accepted(call: Call, response: Response): Promise<Response> {
  const { status } = response;
  if (response.ok) return response;
  const text = await response.text();
  const serviceCode = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
  const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1];
  const reason = [`status ${status}`, serviceCode, message].filter((part) => part !== undefined).join(", ");
  throw new CacheStoreError({ code: codeOf(status), ...factsOfCall(call), reason, status, serviceCode });
}

function codeOf(status: number): CacheStoreErrorCode {
  if (status >= 500) return "unavailable";
  return status === 401 || status === 403 ? "access-denied" : "rejected";
}

function factsOf({ headers }: Response): ObjectFacts {
  const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? headers.get("content-length") ?? "0";
  const metadata = [...headers].filter(([name]) => name.startsWith("x-test-meta-"));
  return {
    bytes: Number(total),
    modifiedAtMs: Date.parse(headers.get("last-modified") ?? ""),
    version: headers.get("etag") ?? "",
    metadata: Object.fromEntries(
      metadata.map(([name, value]) => [name.slice("x-test-meta-".length), decodeHeaderText(value)]),
    ),
  };
}

function opened(response: Response, call: Call): StoredObject {
  const stream: ReadableStream<Uint8Array> = response.body ?? new Blob([]).stream();
  const chunks = async function* (): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* readChunks(stream, call.signal);
    } catch (error) {
      call.signal?.throwIfAborted();
      const reason = "the answer broke off";
      throw new CacheStoreError({ code: "truncated", ...factsOfCall(call), reason }, { cause: error });
    }
  };
  const release = async (): Promise<void> => {
    if (!stream.locked) await stream.cancel();
  };
  return { facts: factsOf(response), body: bodyFrom(chunks(), call.signal, release) };
}

async function discarded(response: Response): Promise<undefined> {
  await response.body?.cancel();
}
