import type { AzureStoreOptions } from "@fleetfoot/cache-backend-azure";
import type { GcsStoreOptions } from "@fleetfoot/cache-backend-gcs";
import type { LocalStoreOptions } from "@fleetfoot/cache-backend-local";
import type { S3StoreOptions } from "@fleetfoot/cache-backend-s3";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import type { ProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import type { RunnerCache } from "@fleetfoot/runner-config";

/** What stores need beside their section of the configuration. */
export interface StoreTools {
  /** One for all stores, so that they share connections. */
  readonly dispatch: () => Promise<ProxyDispatcher>;
  readonly checksums: S3StoreOptions["checksums"];
  readonly responseChecksums: S3StoreOptions["responseChecksums"];
  readonly warn: (message: string) => void;
}

/** What the stores of one process share. */
export function openStoreTools(options: {
  readonly environment: Readonly<Record<string, string>>;
  /** Which proxy leads where. */
  readonly proxies: ProxySettings;
}): Omit<StoreTools, "warn"> {
  let dispatcher: Promise<ProxyDispatcher> | undefined;
  return {
    dispatch: () => {
      dispatcher ??= openDispatcher(options.proxies).catch((error: unknown) => {
        // The next store tries again.
        dispatcher = undefined;
        throw error;
      });
      return dispatcher;
    },
    checksums: checksumsOf(options.environment["AWS_REQUEST_CHECKSUM_CALCULATION"]),
    responseChecksums: checksumsOf(options.environment["AWS_RESPONSE_CHECKSUM_VALIDATION"]),
  };
}

/** `[runners.cache.local]` for the store. @throws {Error} there is no such section */
export function localOptions({ local }: RunnerCache): LocalStoreOptions {
  if (local === undefined) throw missing("local");
  const { directory, maxBytes, maxUnusedMs, minFreeBytes } = local;
  const limits = { maxBytes: maxBytes || undefined, maxUnusedMs: maxUnusedMs || undefined, minFreeBytes };
  return { directory, limits };
}

/** `[runners.cache.s3]` for the store. @throws {Error} there is no such section */
export async function s3Options(
  { s3 }: RunnerCache,
  { dispatch, checksums, responseChecksums, warn }: StoreTools,
): Promise<S3StoreOptions> {
  if (s3 === undefined) throw missing("s3");
  const { accessKey, secretKey, bucketName, bucketLocation, authenticationType, ...rest } = s3;
  return {
    ...rest,
    serverSideEncryptionKeyId: s3.serverSideEncryptionKeyId || undefined,
    bucket: bucketName,
    region: bucketLocation,
    accessKeyId: accessKey,
    secretAccessKey: secretKey,
    authentication: authenticationType,
    checksums,
    responseChecksums,
    dispatcher: await dispatch(),
    onWarning: warn,
  };
}

/** `[runners.cache.gcs]` for the store. @throws {Error} there is no such section */
export async function gcsOptions(
  { gcs, maxUploadedArchiveBytes }: RunnerCache,
  { dispatch }: StoreTools,
): Promise<GcsStoreOptions> {
  if (gcs === undefined) throw missing("gcs");
  const { bucketName, ...rest } = gcs;
  return { ...rest, bucket: bucketName, maxUploadedBytes: maxUploadedArchiveBytes, dispatcher: await dispatch() };
}

/** `[runners.cache.azure]` for the store. @throws {Error} there is no such section */
export async function azureOptions({ azure }: RunnerCache, { dispatch }: StoreTools): Promise<AzureStoreOptions> {
  if (azure === undefined) throw missing("azure");
  return { ...azure, dispatcher: await dispatch() };
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
function checksumsOf(word: string | undefined): S3StoreOptions["checksums"] {
  switch (word?.toLowerCase()) {
    case "when_supported":
      return "when-supported";
    case "when_required":
      return "when-required";
    default:
      return undefined;
  }
}
