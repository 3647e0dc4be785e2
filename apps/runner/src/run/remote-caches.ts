import type { CacheStore } from "@fleetfoot/cache-backend";
import { type Logger, shortToken } from "@fleetfoot/coordinator-client";
import { type RemoteCache, openRemoteCache } from "@fleetfoot/job-runner";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import type { ProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import type { RunnerCache, RunnerEntry } from "@fleetfoot/runner-config";

/** The stores of all runners, kept over changes of the configuration. */
export interface RemoteCaches {
  /** The store of a runner; undefined when its caches stay on this host. Opened with the first job that asks. */
  of(entry: RunnerEntry): Promise<RemoteCache | undefined>;
}

/** Opens stores as `[runners.cache]` says. The library of a cloud is loaded with the first job whose runner uses that cloud. */
export function remoteCaches(options: {
  readonly environment: Readonly<Record<string, string>>;
  /** Which proxy leads where. */
  readonly proxies: ProxySettings;
  readonly logger: Logger;
}): RemoteCaches {
  const { environment, proxies, logger } = options;
  const open = new Map<string, Promise<RemoteCache | undefined>>();
  let dispatcher: Promise<ProxyDispatcher> | undefined;
  /** One for all stores, so that they share connections. */
  const dispatch = (): Promise<ProxyDispatcher> => (dispatcher ??= openDispatcher(proxies));

  return {
    async of({ cache, name, token }) {
      if (cache?.type === undefined) return undefined;
      const runnerShortToken = shortToken(token);
      const key = JSON.stringify([cache, runnerShortToken]);
      const known = open.get(key);
      if (known !== undefined) return known;
      const { path, shared, maxUploadedArchiveBytes } = cache;
      const opening = openRemoteCache({
        type: cache.type,
        kinds: kindsOf(cache, {
          dispatch,
          checksums: checksumsOf(environment),
          warn: (message) => logger.warn(`Cache: ${message}`, { runner_name: name }),
        }),
        settings: { path, shared, runnerShortToken, maxUploadedArchiveBytes },
        logError: (message) => logger.error(`Cache: ${message}`, { runner_name: name }),
      });
      open.set(key, opening);
      return opening;
    },
  };
}

interface StoreTools {
  readonly dispatch: () => Promise<ProxyDispatcher>;
  readonly checksums: "when-supported" | "when-required" | undefined;
  readonly warn: (message: string) => void;
}

function kindsOf(cache: RunnerCache, tools: StoreTools): Readonly<Record<string, () => Promise<CacheStore>>> {
  return {
    s3: () => openS3(cache, tools),
    gcs: () => openGcs(cache, tools),
    azure: () => openAzure(cache, tools),
  };
}

async function openS3({ s3 }: RunnerCache, { dispatch, checksums, warn }: StoreTools): Promise<CacheStore> {
  if (s3 === undefined) throw missing("s3");
  const { createS3Store } = await import("@fleetfoot/cache-backend-s3");
  const { accessKey, secretKey, bucketName, bucketLocation, authenticationType, ...rest } = s3;
  return createS3Store({
    ...rest,
    serverSideEncryptionKeyId: s3.serverSideEncryptionKeyId || undefined,
    bucket: bucketName,
    region: bucketLocation,
    accessKeyId: accessKey,
    secretAccessKey: secretKey,
    authentication: authenticationType,
    checksums,
    dispatcher: await dispatch(),
    onWarning: warn,
  });
}

async function openGcs({ gcs, maxUploadedArchiveBytes }: RunnerCache, { dispatch }: StoreTools): Promise<CacheStore> {
  if (gcs === undefined) throw missing("gcs");
  const { createGcsStore } = await import("@fleetfoot/cache-backend-gcs");
  const { bucketName, ...rest } = gcs;
  const maxUploadedBytes = maxUploadedArchiveBytes;
  return createGcsStore({ ...rest, bucket: bucketName, maxUploadedBytes, dispatcher: await dispatch() });
}

async function openAzure({ azure }: RunnerCache, { dispatch }: StoreTools): Promise<CacheStore> {
  if (azure === undefined) throw missing("azure");
  const { createAzureStore } = await import("@fleetfoot/cache-backend-azure");
  return createAzureStore({ ...azure, dispatcher: await dispatch() });
}

async function openDispatcher(proxies: ProxySettings): Promise<ProxyDispatcher> {
  const [{ decideProxy }, { createProxyDispatcher }] = await Promise.all([
    import("@fleetfoot/proxy-env"),
    import("@fleetfoot/proxy-env/dispatcher"),
  ]);
  return createProxyDispatcher({ decide: (url) => decideProxy(proxies, url) });
}

function missing(section: string): Error {
  return new Error(`the configuration has no [runners.cache.${section}]`);
}

/** @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html */
function checksumsOf(environment: Readonly<Record<string, string>>): StoreTools["checksums"] {
  switch (environment["AWS_REQUEST_CHECKSUM_CALCULATION"]?.toLowerCase()) {
    case "when_supported":
      return "when-supported";
    case "when_required":
      return "when-required";
    default:
      return undefined;
  }
}
