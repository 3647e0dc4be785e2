import type { Dispatcher } from "undici";

/** Which bucket, and with whose rights. The names follow `[runners.cache.gcs]`. */
export interface GcsStoreOptions {
  readonly bucket: string;
  /** Path of a JSON file with credentials; wins over the next two. @default none */
  readonly credentialsFile?: string | undefined;
  /** E-mail address of the service account that signs. @default none */
  readonly accessId?: string | undefined;
  /** Its key as PEM text. @default none */
  readonly privateKey?: string | undefined;
  /** Domain of a cloud that is not the public one. @default "googleapis.com" */
  readonly universeDomain?: string | undefined;
  /** URL of an emulator, which takes requests without credentials. @default `https://storage.<universeDomain>` */
  readonly endpoint?: string | undefined;
  /** Longest object that a presigned PUT may make, in bytes; 0 is no limit. @default 0 */
  readonly maxUploadedBytes?: number | undefined;
  /** Length of one piece of an upload in bytes, rounded up to 256 KiB; longer bodies are sent in several. @default 16777216 */
  readonly partBytes?: number | undefined;
  /** Tries of one piece. @default 3 */
  readonly maxAttempts?: number | undefined;
  /** Pause before a further try, in milliseconds. @default 1000 */
  readonly retryDelayMs?: number | undefined;
  /**
   * Longest silence of a connection, in milliseconds: while it takes nothing more of what is sent, before it answers, and within its answer. A try
   * that ends so is followed by another one.
   *
   * @default 30000
   */
  readonly idleTimeoutMs?: number | undefined;
  /** Every request goes through it; it decides about proxies. @default connections of its own, never through a proxy */
  readonly dispatcher?: Dispatcher | undefined;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: (() => number) | undefined;
  /** Waits; rejects with the signal's reason when aborted. @default a timer */
  readonly sleep?: ((milliseconds: number, signal?: AbortSignal) => Promise<void>) | undefined;
}
