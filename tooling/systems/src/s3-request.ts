import { createHash, createHmac } from "node:crypto";

/** Where an S3 service is and how to sign for it. */
export interface S3Access {
  /** Base URL without a path. Buckets are the first path segment. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** One request to an S3 service. */
export interface S3Request {
  readonly method: "DELETE" | "GET" | "HEAD" | "PUT";
  /** `/bucket` or `/bucket/object`, already percent-encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

/**
 * Sends a request signed with AWS Signature Version 4.
 *
 * @param now - time of the signature
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function signedS3Request(access: S3Access, request: S3Request, now: Date = new Date()): Promise<Response> {
  const { method, path, body } = request;
  const query = Object.entries(request.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .sort()
    .join("&");
  const url = new URL(`${access.endpoint}${path}${query && `?${query}`}`);
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const contentHash = sha256(body ?? "");
  const headers = { host: url.host, "x-amz-content-sha256": contentHash, "x-amz-date": time };
  const signedHeaders = Object.keys(headers).join(";");
  const headerLines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonicalRequest = [method, url.pathname, query, headerLines.join(""), signedHeaders, contentHash].join("\n");
  const scope = [time.slice(0, 8), access.region, "s3", "aws4_request"];
  const signingKey = scope.reduce<string | Buffer>((key, part) => hmac(key, part), `AWS4${access.secretAccessKey}`);
  const signature = hmac(
    signingKey,
    ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonicalRequest)].join("\n"),
  ).toString("hex");
  const credential = `${access.accessKeyId}/${scope.join("/")}`;
  return fetch(url, {
    method,
    headers: {
      ...headers,
      authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    },
    ...(body === undefined ? {} : { body }),
  });
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac("sha256", key).update(data).digest();
}
