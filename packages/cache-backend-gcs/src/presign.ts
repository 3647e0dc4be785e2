import { CacheStoreError, checkMetadata, encodeHeaderText } from "@fleetfoot/cache-backend";
import type {
  ObjectFacts,
  OperationOptions,
  PresignedPart,
  PresignedRequest,
  PresignedUpload,
  PresignPartsRequest,
  PresignRequest,
  StoreCall,
} from "@fleetfoot/cache-backend";
import type { GcsStoreOptions } from "./options.ts";
import type { GcsService } from "./service.ts";
import { signUrl } from "./signed-url.ts";

/** An object, and the service that has it. */
export interface GcsObject {
  readonly service: GcsService;
  readonly options: GcsStoreOptions;
  /** Of the object, without a query. */
  readonly url: string;
}

/** Signs a request that somebody else will send. */
export async function presignObject(
  { service, options, url }: GcsObject,
  call: StoreCall,
  { method, name, lifetimeMs, metadata = {} }: PresignRequest,
): Promise<PresignedRequest> {
  checkMetadata(metadata, name, call);
  const { maxUploadedBytes = 0, now = Date.now } = options;
  const headers: Record<string, string> =
    method === "PUT"
      ? {
          ...describing(metadata),
          ...(maxUploadedBytes > 0 ? { "x-goog-content-length-range": `0,${maxUploadedBytes}` } : {}),
        }
      : {};
  return { url: await signUrl(service, call, { method, url, headers, lifetimeMs, nowMs: now() }), headers };
}

/**
 * Begins an upload whose parts somebody without credentials will send.
 *
 * @see https://cloud.google.com/storage/docs/multipart-uploads
 */
export async function presignUpload(
  { service, options, url }: GcsObject,
  call: StoreCall,
  { name, bytes, lifetimeMs, metadata = {} }: PresignPartsRequest,
  factsOf: (call: StoreCall) => Promise<ObjectFacts | undefined>,
): Promise<PresignedUpload> {
  checkMetadata(metadata, name, call);
  const { now = Date.now } = options;
  const begun = await service.send(call, {
    method: "POST",
    url: `${url}?uploads`,
    headers: { ...describing(metadata), "content-length": "0" },
  });
  const uploadId = /<UploadId>([^<]+)<\/UploadId>/.exec(await begun.body.text())?.[1] ?? "";
  const partBytes = partLength(options, bytes);
  const parts: PresignedPart[] = [];
  for (let start = 0; start < bytes; start += partBytes) {
    const query = { partNumber: String(parts.length + 1), uploadId };
    const order = { method: "PUT", url, query, headers: {}, lifetimeMs, nowMs: now() } as const;
    const end = Math.min(start + partBytes, bytes);
    parts.push({ start, end, url: await signUrl(service, call, order), headers: {} });
  }
  const place = `${url}?uploadId=${encodeURIComponent(uploadId)}`;
  const complete = async (receipts: readonly string[], { signal }: OperationOptions = {}): Promise<ObjectFacts> => {
    const listed = receipts.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(tag)}</ETag></Part>`,
    );
    const content = `<CompleteMultipartUpload>${listed.join("")}</CompleteMultipartUpload>`;
    const completing = { ...call, operation: "completeParts", signal };
    const { body } = await service.send(completing, {
      method: "POST",
      url: place,
      headers: { "content-type": "application/xml" },
      body: content,
    });
    await body.dump();
    const facts = await factsOf(completing);
    if (facts !== undefined) return facts;
    throw new CacheStoreError({ code: "object-changed", ...completing, reason: "it was deleted at once" });
  };
  return {
    parts,
    complete,
    async abort({ signal } = {}) {
      const aborting = { ...call, operation: "abortParts", signal };
      const { body } = await service.send(aborting, { method: "DELETE", url: place, accepts: [404] });
      await body.dump();
    },
  };
}

/** @see https://cloud.google.com/storage/quotas#requests */
function partLength({ partBytes = 16 * mebibyte }: GcsStoreOptions, bytes: number): number {
  return Math.max(5 * mebibyte, partBytes, Math.ceil(bytes / 10_000 / mebibyte) * mebibyte);
}

function describing(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const named = Object.entries(metadata).map(([key, value]) => [`x-goog-meta-${key}`, encodeHeaderText(value)]);
  return { "content-type": "application/octet-stream", ...Object.fromEntries(named) };
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

const mebibyte = 1024 * 1024;
