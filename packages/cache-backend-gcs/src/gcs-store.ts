import {
  CacheStoreError,
  bodyFromAnswer,
  checkListPrefix,
  checkMetadata,
  createPutMark,
  decodeHeaderText,
  operationsOf,
  partBehindEnd,
  partOfAnswer,
  retryTransfer,
  versionInAnswer,
  withoutPutMark,
} from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  PresignsObjects,
  PresignsParts,
  PutBody,
  PutCondition,
  PutMark,
  PutOptions,
  PutsConditionally,
  PutsInParts,
  ReadsRanges,
  StoreCall,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { kind } from "./failures.ts";
import type { GcsStoreOptions } from "./options.ts";
import { presignObject, presignUpload } from "./presign.ts";
import type { GcsObject } from "./presign.ts";
import { jsonOf, openService } from "./service.ts";
import type { Answer } from "./service.ts";
import { escape } from "./signed-url.ts";
import { upload } from "./upload.ts";

/** What a store in Google Cloud Storage can do. */
export type GcsStore = CacheStore &
  DeletesObjects &
  ListsObjects &
  ReadsRanges &
  PutsConditionally &
  PutsInParts &
  PresignsObjects &
  PresignsParts;

/**
 * Creates a store whose objects lie in a bucket of Google Cloud Storage. Nothing is asked of the service before the first
 * operation.
 *
 * @throws {TypeError} there is no bucket, or only one of `accessId` and `privateKey`
 */
export function createGcsStore(options: GcsStoreOptions): GcsStore {
  const { bucket, credentialsFile = "", accessId = "", privateKey = "" } = options;
  if (bucket === "") throw new TypeError("a store in Google Cloud Storage needs the name of a bucket");
  if (credentialsFile === "" && (accessId === "") !== (privateKey === "")) {
    throw new TypeError("accessId and privateKey belong together");
  }
  const service = openService(options);
  const jsonUrl = `${service.endpoint}/storage/v1/b/${escape(bucket)}/o`;

  function objectAt(name: string): GcsObject {
    const path = name.split("/").map(escape).join("/");
    return { service, options, url: `${service.endpoint}/${escape(bucket)}/${path}` };
  }

  // What has no answer is told by the service already.
  const onObject = operationsOf(kind, (_call, error) => error);

  /** @see https://cloud.google.com/storage/docs/xml-api/head-object */
  async function factsOf(call: StoreCall): Promise<ObjectFacts | undefined> {
    const answer = await service.send(call, { method: "HEAD", url: objectAt(call.object).url, accepts: [404] });
    await answer.body.dump();
    return answer.status === 404 ? undefined : toFacts(call, answer);
  }

  /** @see https://cloud.google.com/storage/docs/xml-api/get-object-download */
  async function opened(call: StoreCall, generation?: string, range?: string): Promise<Opened | undefined> {
    if (generation !== undefined && !isGeneration(generation)) return undefined;
    const query = generation === undefined ? "" : `?generation=${generation}`;
    const answer = await service.send(call, {
      method: "GET",
      url: objectAt(call.object).url + query,
      headers: range === undefined ? {} : { range },
      accepts: [404, 416],
    });
    if (answer.status === 404) {
      const text = await answer.body.text();
      if (!text.includes("NoSuchBucket")) return undefined;
      throw new CacheStoreError({ code: "rejected", ...call, reason: `there is no bucket ${bucket}`, status: 404 });
    }
    try {
      return { answer, facts: toFacts(call, answer) };
    } catch (error) {
      await answer.body.dump();
      throw error;
    }
  }

  async function putWhen(
    call: StoreCall,
    body: PutBody,
    condition: PutCondition | undefined,
    putOptions: PutOptions,
  ): Promise<ObjectFacts | undefined> {
    const { metadata = {} } = putOptions;
    checkMetadata(metadata, call.object, call);
    const mark = condition === undefined ? undefined : createPutMark();
    try {
      const { generation, updated } = await upload({ service, call, body, condition, mark, putOptions, options });
      const modifiedAtMs = Math.floor(Date.parse(updated) / 1000) * 1000;
      return { bytes: body.bytes, modifiedAtMs, version: generation, metadata: { ...metadata } };
    } catch (error) {
      const status = CacheStoreError.isInstance(error) ? error.status : undefined;
      // A service may have forgotten the session that ended with the object.
      const mayBeOwn = mark?.mayBeStored() === true && (status === 412 || status === 404 || status === 410);
      const own = mayBeOwn ? await findOwn(call, mark) : undefined;
      if (own !== undefined || (mark !== undefined && status === 412)) return own;
      throw error;
    }
  }

  /** Finds the object that an earlier request of this put has stored; `undefined` when it is somebody else's, or who may write it may not look. */
  async function findOwn(call: StoreCall, mark: PutMark): Promise<ObjectFacts | undefined> {
    const order = { method: "HEAD", url: objectAt(call.object).url, accepts: [403, 404] } as const;
    const { maxAttempts, retryDelayMs, sleep } = options;
    return retryTransfer(
      call,
      async (signal) => {
        const answer = await service.send({ ...call, signal }, order);
        await answer.body.dump();
        if (answer.status > 299) return undefined;
        const facts = toFacts(call, answer);
        return mark.isOn(metadataOf(answer)) ? facts : undefined;
      },
      { maxAttempts, retryDelayMs, sleep, signal: call.signal },
    );
  }

  return {
    kind,
    putsInParts: true,
    head(name, operation = {}) {
      return onObject("head", name, operation, factsOf);
    },
    get(name, operation = {}) {
      return onObject("get", name, operation, async (call) => {
        const found = await opened(call);
        return found && toObject(call, found, found.facts.bytes);
      });
    },
    getRange(name, range, operation = {}) {
      const { start, end, version } = range;
      return onObject("getRange", name, operation, async (call) => {
        const found = await opened(call, version, `bytes=${start}-${end - 1}`);
        if (found === undefined) return undefined;
        const { answer, facts } = found;
        if (answer.status === 416) {
          await answer.body.dump();
          return partBehindEnd(range, await factsOf(call));
        }
        const contentRange = answer.headers["content-range"];
        const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(contentRange ?? "") ?? [];
        const bytes = last === undefined ? facts.bytes : Number(last) + 1 - Number(first);
        return partOfAnswer(call, range, contentRange, toObject(call, found, bytes));
      });
    },
    put(name, body, putOptions = {}) {
      return onObject("put", name, putOptions, async (call) => {
        const facts = await putWhen(call, body, undefined, putOptions);
        if (facts === undefined) throw new Error("unreachable: an unconditional put was refused");
        return facts;
      });
    },
    putIf(name, body, condition, putOptions = {}) {
      return onObject("putIf", name, putOptions, (call) => putWhen(call, body, condition, putOptions));
    },
    delete(name, operation = {}) {
      return onObject("delete", name, operation, async (call) => {
        const { ifVersion } = operation;
        if (ifVersion !== undefined && !isGeneration(ifVersion)) return false;
        // Servers that stand in for the service pass over the condition.
        if (ifVersion !== undefined && (await factsOf(call))?.version !== ifVersion) return false;
        const query = ifVersion === undefined ? "" : `?ifGenerationMatch=${ifVersion}`;
        const url = `${jsonUrl}/${escape(name)}${query}`;
        const answer = await service.send(call, { method: "DELETE", url, accepts: [404, 412] });
        await answer.body.dump();
        return answer.status !== 404 && answer.status !== 412;
      });
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      const call = { store: kind, operation: "list", object: prefix, signal };
      checkListPrefix(prefix, call);
      for (let pageToken: string | undefined = ""; pageToken !== undefined;) {
        const query = new URLSearchParams({ prefix, ...(pageToken === "" ? {} : { pageToken }) });
        const answer = await service.send(call, { method: "GET", url: `${jsonUrl}?${query}` });
        const page = (await jsonOf(call, answer)) as ListPage;
        for (const { name, size, updated } of page.items ?? []) {
          signal?.throwIfAborted();
          yield { name, bytes: Number(size), modifiedAtMs: Math.floor(Date.parse(updated) / 1000) * 1000 };
        }
        pageToken = page.nextPageToken;
      }
    },
    presign(request, operation = {}) {
      return onObject("presign", request.name, operation, (call) =>
        presignObject(objectAt(request.name), call, request),
      );
    },
    presignParts(request, operation = {}) {
      return onObject("presignParts", request.name, operation, (call) =>
        presignUpload(objectAt(request.name), call, request, factsOf),
      );
    },
  };
}

interface Opened {
  readonly answer: Answer;
  readonly facts: ObjectFacts;
}

/** @see https://cloud.google.com/storage/docs/json_api/v1/objects/list */
interface ListPage {
  readonly items?: readonly { readonly name: string; readonly size: string; readonly updated: string }[];
  readonly nextPageToken?: string;
}

function toObject(call: StoreCall, { answer, facts }: Opened, bytes: number): StoredObject {
  return { facts, body: bodyFromAnswer(answer.body, bytes, call, call.signal) };
}

/** @see https://cloud.google.com/storage/docs/xml-api/reference-headers */
function toFacts(call: StoreCall, answer: Answer): ObjectFacts {
  const { headers, status } = answer;
  const generation = headers["x-goog-generation"];
  const total = /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
  return {
    bytes: Number(total ?? headers["x-goog-stored-content-length"] ?? headers["content-length"] ?? 0),
    modifiedAtMs: Date.parse(headers["last-modified"] ?? ""),
    // A refused range may be told without it.
    version: status < 300 ? versionInAnswer(call, generation, "x-goog-generation") : (generation ?? ""),
    metadata: withoutPutMark(metadataOf(answer)),
  };
}

/** All that was stored with an object. */
function metadataOf({ headers }: Answer): Record<string, string> {
  const metadata = Object.entries(headers)
    .filter(([name]) => name.startsWith("x-goog-meta-"))
    .map(([name, value]) => [name.slice("x-goog-meta-".length), decodeHeaderText(value ?? "")]);
  return Object.fromEntries(metadata) as Record<string, string>;
}

/** A number is all that it can be, and another text would be a bad request. */
function isGeneration(version: string): boolean {
  return /^\d+$/.test(version);
}
