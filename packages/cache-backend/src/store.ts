/**
 * A place that keeps cache archives by name.
 *
 * Names are `/`-separated, relative and clean: no empty, `.` or `..` segment. A `put` becomes visible only as a whole: a
 * reader sees the old object or the new one, never a part. Every operation rejects with `signal.reason` when aborted.
 *
 * Optional abilities are small interfaces of their own ({@link DeletesObjects}, {@link ListsObjects}, {@link PresignsObjects},
 * {@link ReadsRanges}, {@link PutsConditionally}, {@link PutsInParts}); a caller detects them with the `can…` functions.
 */
export interface CacheStore {
  /** Names the store in errors and metrics, for example `local` or `s3`. */
  readonly kind: string;
  /** Facts of an object, or `undefined` when there is none. */
  head(name: string, options?: OperationOptions): Promise<ObjectFacts | undefined>;
  /** Opens an object, or resolves to `undefined` when there is none. The caller reads or cancels the body. */
  get(name: string, options?: OperationOptions): Promise<StoredObject | undefined>;
  /**
   * Stores a body of known length under a name, replacing what is there.
   *
   * @throws {CacheStoreError} code `length-mismatch` when the body is shorter or longer than announced; nothing is stored
   */
  put(name: string, body: PutBody, options?: PutOptions): Promise<ObjectFacts>;
}

export interface OperationOptions {
  /** Ends the operation, and the reading of a body that it opened. */
  readonly signal?: AbortSignal | undefined;
  /** How long all of the transfer may take at most, in milliseconds: credentials that the store gets for it last as long. @default the store's own */
  readonly timeLimitMs?: number | undefined;
}

/** What is known of an object without reading it. */
export interface ObjectFacts {
  /** Length of the body in bytes. */
  readonly bytes: number;
  /** Epoch milliseconds, to whole seconds on some stores. */
  readonly modifiedAtMs: number;
  /** Changes whenever the content changes; opaque. */
  readonly version: string;
  /** Text pairs that were stored with the object; names are lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** An object that was opened for reading. */
export interface StoredObject {
  readonly facts: ObjectFacts;
  readonly body: ReadableStream<Uint8Array>;
}

/** What to store. */
export interface PutBody {
  /** Exact length in bytes. */
  readonly bytes: number;
  /** Opens the content from its start; called once per attempt. */
  open(): ReadableStream<Uint8Array>;
  /**
   * Opens the bytes from `start` up to, not including, `end`. With it a store sends parts at the same time without holding
   * them in memory, and repeats only the part that failed. Parts may be open at the same time.
   *
   * @default none: the content is read once, from its start
   */
  readonly openRange?: (start: number, end: number) => ReadableStream<Uint8Array>;
}

export interface PutOptions extends OperationOptions {
  /** Text pairs to keep with the object; names must be lower case. @default {} */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Told how far the transfer is; goes back when a part is sent again. Must not throw. @default nobody listens */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Length of one part in bytes, where the store sends parts; longer or shorter where the service wants them so. @default what the store was made with */
  readonly partBytes?: number | undefined;
  /** Parts sent at once, where the store can do that. @default what the store was made with */
  readonly concurrency?: number | undefined;
  /** Longest duration of one try of one part, in milliseconds, where the store sends parts. @default 600000 */
  readonly attemptTimeoutMs?: number | undefined;
}

/** How far a transfer is. */
export interface TransferProgress {
  /** Bytes that were handed to the service, or came from it. */
  readonly bytes: number;
  readonly totalBytes: number;
}

/** The store can remove objects. */
export interface DeletesObjects {
  /** Removes an object; true when it existed, in the version that was asked for. */
  delete(name: string, options?: DeleteOptions): Promise<boolean>;
}

export interface DeleteOptions extends OperationOptions {
  /**
   * Only this version of the object will do: another one, such as one that was put meanwhile, stays. @default any version
   */
  readonly ifVersion?: string | undefined;
}

/** The store can enumerate objects. */
export interface ListsObjects {
  /** Every object whose name starts with the prefix, in byte order of the names. */
  list(prefix: string, options?: OperationOptions): AsyncIterable<ListedObject>;
}

export interface ListedObject {
  readonly name: string;
  readonly bytes: number;
  readonly modifiedAtMs: number;
}

/** The store can hand out a URL for one object and one direction. */
export interface PresignsObjects {
  presign(request: PresignRequest, options?: OperationOptions): Promise<PresignedRequest>;
}

export interface PresignRequest {
  readonly method: "GET" | "HEAD" | "PUT";
  readonly name: string;
  /** How long the URL works, in milliseconds. */
  readonly lifetimeMs: number;
  /** Text pairs that a PUT keeps with the object; names must be lower case. @default {} */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface PresignedRequest {
  readonly url: string;
  /** Headers that must be sent exactly as given. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The store can hand out URLs for the parts of one upload, so that somebody without credentials of the store can send an
 * object longer than one request may be.
 */
export interface PresignsParts {
  /** Begins an upload that is to be completed or aborted. Nothing is visible before it is completed. */
  presignParts(request: PresignPartsRequest, options?: OperationOptions): Promise<PresignedUpload>;
}

export interface PresignPartsRequest {
  readonly name: string;
  /** Exact length of the whole object in bytes, more than 0. */
  readonly bytes: number;
  /** How long the URLs work, in milliseconds. */
  readonly lifetimeMs: number;
  /** Text pairs to keep with the object; names must be lower case. @default {} */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface PresignedUpload {
  /** In the order of the content; each is one PUT. */
  readonly parts: readonly PresignedPart[];
  /**
   * Puts the parts together and makes the object visible.
   *
   * @param receipts - for each part, in order, the header `etag` of the answer; empty where the service sent none
   */
  complete(receipts: readonly string[], options?: OperationOptions): Promise<ObjectFacts>;
  /** Forgets the parts that were sent. */
  abort(options?: OperationOptions): Promise<void>;
}

export interface PresignedPart extends PresignedRequest {
  /** First byte of the object that belongs to this part. */
  readonly start: number;
  /** The byte after its last one. */
  readonly end: number;
}

/** The store can open a part of an object. */
export interface ReadsRanges {
  /**
   * Opens the bytes from `start` up to, not including, `end`; less where the object ends before. The facts are those of
   * the whole object.
   *
   * @throws {CacheStoreError} code `ranges-ignored` when the service cannot do it for this object
   * @returns `undefined` when there is no such object, or its version is not `version`
   */
  getRange(name: string, range: ByteRange, options?: OperationOptions): Promise<StoredObject | undefined>;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
  /** Only this version of the object will do. */
  readonly version?: string;
}

/** The store can refuse to replace an object. */
export interface PutsConditionally {
  /** Stores the body unless the condition fails; resolves to `undefined` then, and nothing is stored. */
  putIf(name: string, body: PutBody, condition: PutCondition, options?: PutOptions): Promise<ObjectFacts | undefined>;
}

/**
 * The store sends a body in parts, as the options of a put say, and ends and repeats each part by itself: a caller need not limit the whole put, nor
 * repeat it.
 */
export interface PutsInParts {
  readonly putsInParts: true;
}

/** The name must be free, or hold exactly this version. */
export type PutCondition = { readonly absent: true } | { readonly version: string };
