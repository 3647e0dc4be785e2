import { CacheStoreError, canList } from "@fleetfoot/cache-backend";
import type { CacheStore } from "@fleetfoot/cache-backend";
import type { StoreSettings } from "../settings/store-settings.ts";

/** Why the shared store is of no use. */
export interface StoreProblem {
  /** Whether it stays so until somebody changes a setting, or the store itself. */
  readonly isLasting: boolean;
  /** What is wrong, and for a lasting problem which setting to look at. */
  readonly text: string;
}

/**
 * Asks the shared store once, whether it can be reached and lets this mirror in. Nothing is changed in it.
 *
 * @param signal - ends the wait for its answer; that counts as none
 */
export async function checkStore(
  store: CacheStore,
  settings: StoreSettings,
  signal: AbortSignal,
): Promise<StoreProblem | undefined> {
  // A library may notice late that it is to end.
  const ended = Promise.withResolvers<never>();
  const onAbort = (): void => ended.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([ask(store, signal), ended.promise]);
    return undefined;
  } catch (error) {
    return { isLasting: isLasting(error), text: textFor(error, settings, signal.aborted) };
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function ask(store: CacheStore, signal: AbortSignal): Promise<void> {
  const object = await store.get(neverThere, { signal });
  await object?.body.cancel();
  if (canList(store)) await lookInto(store.list(neverThere, { signal }));
}

/** A place that nothing is written to. */
const neverThere = "meta/_any";

/** Tells a store from another server that knows no such path; who may not list can still read and write. */
async function lookInto(found: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _object of found) return;
  } catch (error) {
    if (!CacheStoreError.isInstance(error) || error.code !== "access-denied") throw error;
  }
}

function isLasting(error: unknown): boolean {
  return CacheStoreError.isInstance(error) && (error.code === "access-denied" || error.code === "rejected");
}

/** What it is called before people. */
export function storeName({ kind, options }: StoreSettings): string {
  const { container } = settingsOf[kind];
  return `the shared store (${kind}.${container} ${JSON.stringify(options[container])})`;
}

function textFor(error: unknown, settings: StoreSettings, isLate: boolean): string {
  const { address, credentials } = settingsOf[settings.kind];
  const name = storeName(settings);
  const reason = error instanceof Error ? error.message : String(error);
  if (isLate) return `${name} did not answer in time`;
  if (!isLasting(error)) return `${name} fails: ${reason}`;
  if (CacheStoreError.isInstance(error) && error.code === "access-denied")
    return `${name} refuses what ${credentials} say: ${reason}. Set the right ones, and let them read, write and list there.`;
  if (CacheStoreError.isInstance(error) && error.status === 404)
    return `${name} is not there: ${reason}. Create it, or set the right name and ${address}.`;
  return `${name} refuses what it is asked: ${reason}. Set the right ${address}.`;
}

const settingsOf: Readonly<
  Record<StoreSettings["kind"], { readonly container: string; readonly credentials: string; readonly address: string }>
> = {
  s3: {
    container: "bucket",
    credentials: "s3.accessKeyId and s3.secretAccessKey (or the environment in their place)",
    address: "s3.serverAddress and s3.region",
  },
  gcs: {
    container: "bucket",
    credentials: "gcs.credentialsFile, or gcs.accessId and gcs.privateKey (or the environment in their place),",
    address: "gcs.endpoint",
  },
  azure: {
    container: "containerName",
    credentials: "azure.accountName and azure.accountKey (or the environment in their place)",
    address: "azure.accountName and azure.endpoint",
  },
};
