import {
  BlobSASPermissions,
  SASProtocol,
  StorageSharedKeyCredential,
  generateBlobSASQueryParameters,
} from "@azure/storage-blob";
import { checkMetadata } from "@fleetfoot/cache-backend";
import type {
  PresignedPart,
  PresignedRequest,
  PresignedUpload,
  PresignPartsRequest,
  PresignRequest,
  StoreCall,
} from "@fleetfoot/cache-backend";
import type { AzureAccount } from "./account.ts";
import { blockLength, blockNames, commitBlocks } from "./blocks.ts";
import { toAzureMetadata } from "./metadata.ts";
import type { AzureStoreOptions } from "./options.ts";

/** Signs a request that somebody else will send. */
export async function presignBlob(
  account: AzureAccount,
  call: StoreCall,
  { method, name, lifetimeMs, metadata = {} }: PresignRequest,
  options: AzureStoreOptions,
): Promise<PresignedRequest> {
  checkMetadata(metadata, name, call);
  const { url } = account.container.getBlockBlobClient(name);
  const signature = await sign(account, call, method === "PUT" ? "w" : "r", lifetimeMs, options);
  const described = Object.entries(toAzureMetadata(metadata)).map(([key, value]) => [`x-ms-meta-${key}`, value]);
  const headers: Record<string, string> =
    method === "PUT"
      ? { "x-ms-blob-type": "BlockBlob", "content-type": "application/octet-stream", ...Object.fromEntries(described) }
      : {};
  return { url: `${url}?${signature}`, headers };
}

/** Begins an upload whose blocks somebody without credentials will send. */
export async function presignBlocks(
  account: AzureAccount,
  call: StoreCall,
  { name, bytes, lifetimeMs, metadata = {} }: PresignPartsRequest,
  options: AzureStoreOptions,
): Promise<PresignedUpload> {
  checkMetadata(metadata, name, call);
  const blob = account.container.getBlockBlobClient(name);
  const signature = await sign(account, call, "w", lifetimeMs, options);
  const partBytes = blockLength(options, bytes);
  const nameOf = blockNames();
  const parts: PresignedPart[] = [];
  for (let start = 0; start < bytes; start += partBytes) {
    const block = encodeURIComponent(nameOf(parts.length));
    const url = `${blob.url}?comp=block&blockid=${block}&${signature}`;
    parts.push({ start, end: Math.min(start + partBytes, bytes), url, headers: {} });
  }
  return {
    parts,
    complete: (_receipts, { signal } = {}) =>
      commitBlocks(
        blob,
        { ...call, operation: "completeParts", signal },
        parts.map((_, index) => nameOf(index)),
        { bytes, metadata },
      ),
    // The service forgets blocks that nobody made a blob of by itself, after a week.
    abort: async () => {},
  };
}

/** @see https://learn.microsoft.com/rest/api/storageservices/create-service-sas */
async function sign(
  account: AzureAccount,
  { object, signal }: StoreCall,
  permission: "r" | "w",
  lifetimeMs: number,
  { now = Date.now }: AzureStoreOptions,
): Promise<string> {
  const expiresAtMs = now() + lifetimeMs;
  const key = await account.signingKey(expiresAtMs, signal);
  const values = {
    containerName: account.container.containerName,
    blobName: object,
    permissions: BlobSASPermissions.parse(permission),
    // The clock of the service may be behind this host's.
    startsOn: new Date(now() - clockSkewMs),
    expiresOn: new Date(expiresAtMs),
    protocol: account.insecure ? SASProtocol.HttpsAndHttp : SASProtocol.Https,
  };
  return key instanceof StorageSharedKeyCredential
    ? generateBlobSASQueryParameters(values, key).toString()
    : generateBlobSASQueryParameters(values, key, account.name).toString();
}

const clockSkewMs = 3_600_000;
