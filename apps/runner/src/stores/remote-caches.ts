import { setImmediate as turnOfOthers } from "node:timers/promises";
import type { CacheStore } from "@fleetfoot/cache-backend";
import { type Logger, shortToken } from "@fleetfoot/coordinator-client";
import { type RemoteCache, openRemoteCache } from "@fleetfoot/job-runner";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import type { RunnerCache, RunnerEntry } from "@fleetfoot/runner-config";
import { azureOptions, gcsOptions, localOptions, openStoreTools, s3Options, type StoreTools } from "./store-options.ts";

/** The stores of all runners, kept over changes of the configuration. */
export interface RemoteCaches {
  /** The store of a runner; undefined when its caches stay on this host. Opened when it is not open yet. */
  of(entry: RunnerEntry): Promise<RemoteCache | undefined>;
  /**
   * Opens the stores of runners that may get jobs: the library of a cloud keeps the process from everything else while it is loaded, in several steps
   * of up to 50 ms, and while jobs run their output would wait for it.
   */
  open(entries: readonly RunnerEntry[]): Promise<void>;
}

/** Opens stores as `[runners.cache]` says. The library of a cloud is loaded when a runner that uses that cloud is there. */
export function remoteCaches(options: {
  readonly environment: Readonly<Record<string, string>>;
  /** Which proxy leads where. */
  readonly proxies: ProxySettings;
  readonly logger: Logger;
}): RemoteCaches {
  const { environment, proxies, logger } = options;
  const open = new Map<string, Promise<RemoteCache | undefined>>();
  /** What was said last of a store that cannot be opened, so that it is not said with every job. */
  const told = new Map<string, string>();
  const tools = openStoreTools({ environment, proxies });

  async function storeOf({ cache, name, token }: RunnerEntry): Promise<RemoteCache | undefined> {
    if (cache?.type === undefined) return undefined;
    const runnerShortToken = shortToken(token);
    const key = JSON.stringify([cache, runnerShortToken]);
    const known = open.get(key);
    if (known !== undefined) return known;
    const { path, shared, maxUploadedArchiveBytes } = cache;
    const opening = openRemoteCache({
      type: cache.type,
      kinds: kindsOf(cache, {
        ...tools,
        warn: (message) => logger.warn(`Cache: ${message}`, { runner_name: name }),
      }),
      settings: { path, shared, runnerShortToken, maxUploadedArchiveBytes },
      logError(message) {
        if (told.get(key) !== message) logger.error(`Cache: ${message}`, { runner_name: name });
        told.set(key, message);
      },
    });
    open.set(key, opening);
    // What kept it from being opened may be gone with the next job.
    void opening.then((remote) => {
      if (remote === undefined) open.delete(key);
    });
    return opening;
  }

  return {
    of: storeOf,
    async open(entries) {
      for (const entry of entries) {
        await storeOf(entry);
        await turnOfOthers();
      }
    },
  };
}

function kindsOf(cache: RunnerCache, tools: StoreTools): Readonly<Record<string, () => Promise<CacheStore>>> {
  return {
    async local() {
      const { createLocalStore } = await import("@fleetfoot/cache-backend-local");
      return createLocalStore(localOptions(cache));
    },
    async s3() {
      const options = await s3Options(cache, tools);
      const { loadS3Store } = await import("@fleetfoot/cache-backend-s3/load");
      const createS3Store = await loadS3Store();
      return createS3Store(options);
    },
    async gcs() {
      const options = await gcsOptions(cache, tools);
      const { loadGcsStore } = await import("@fleetfoot/cache-backend-gcs/load");
      const createGcsStore = await loadGcsStore();
      return createGcsStore(options);
    },
    async azure() {
      const options = await azureOptions(cache, tools);
      const { loadAzureStore } = await import("@fleetfoot/cache-backend-azure/load");
      const createAzureStore = await loadAzureStore();
      return createAzureStore(options);
    },
  };
}
