import type { TokenCredential } from "@azure/identity";
import type { Dispatcher } from "undici";

/** Which container, and with whose rights. The names follow `[runners.cache.azure]`. */
export interface AzureStoreOptions {
  readonly accountName: string;
  /** Base64, as the portal shows it. @default requests have tokens of `credential` */
  readonly accountKey?: string | undefined;
  readonly containerName: string;
  /** What follows the account in the host's name. @default "blob.core.windows.net" */
  readonly storageDomain?: string | undefined;
  /** URL of the account's blob service, for an emulator. @default `https://<accountName>.<storageDomain>` */
  readonly endpoint?: string | undefined;
  /**
   * Gives tokens when there is no `accountKey`; its identity needs the role Storage Blob Data Contributor.
   *
   * @default `DefaultAzureCredential` of `@azure/identity`, which is loaded when the store is made
   */
  readonly credential?: TokenCredential | undefined;
  /** Length of one block of an upload in bytes, up to 4000 MiB; grows where 50,000 blocks would not do. @default 16777216 */
  readonly partBytes?: number | undefined;
  /** Blocks sent at once; that many are in memory when a body cannot be opened anywhere. @default 4 */
  readonly uploadConcurrency?: number | undefined;
  /** Tries of one block. @default 3 */
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
