import type { Dispatcher } from "undici";
import type { EncryptionSettings, ServerSideEncryption } from "./encryption.ts";

/** Which bucket, where, and with whose rights. The names follow `[runners.cache.s3]`. */
export interface S3StoreOptions extends Partial<EncryptionSettings> {
  readonly bucket: string;
  /** `host[:port]`; a URL is refused. @default the service of Amazon */
  readonly serverAddress?: string | undefined;
  /** Whether `serverAddress` speaks plain HTTP. @default false */
  readonly insecure?: boolean | undefined;
  /** @default asked for with GetBucketLocation; `us-east-1` when that fails */
  readonly region?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  /**
   * `access-key`: the keys above; `iam`: the chain of the AWS SDK (environment, shared files, web identity, container,
   * instance).
   *
   * @default "access-key" when `serverAddress` and both keys are given, otherwise "iam"
   */
  readonly authentication?: "iam" | "access-key" | undefined;
  /** @default none: what the bucket does by itself */
  readonly serverSideEncryption?: ServerSideEncryption | undefined;
  /** Whether Amazon is reached over IPv6, too. Without effect on a `serverAddress`. @default true */
  readonly dualStack?: boolean | undefined;
  /** Whether Amazon's edge locations take the transfers. Without effect on a `serverAddress`. @default false */
  readonly accelerate?: boolean | undefined;
  /** Whether the bucket stands in the path of the address. @default as the host needs it */
  readonly pathStyle?: boolean | undefined;
  /** Role for both directions; each transfer gets credentials of it for its one object and direction. @default none */
  readonly roleArn?: string | undefined;
  /** The same for uploads only; `roleArn` wins. @default none */
  readonly uploadRoleArn?: string | undefined;
  /** Calls to the token service at once; 0 is the default, less than 0 no limit. @default 5 */
  readonly assumeRoleMaxConcurrency?: number | undefined;
  /** Whether each transfer asks for credentials of its own, even when earlier ones would do. @default false */
  readonly disableAssumeRoleCredentialsCaching?: boolean | undefined;
  /** Time that reused credentials must still last where an operation has no `timeLimitMs`, in milliseconds; kept between 1 and 55 minutes. @default 600000 */
  readonly transferTimeoutMs?: number | undefined;
  /** @default Amazon's in the bucket's region; with a `serverAddress` that is not Amazon's, the same server */
  readonly stsEndpoint?: string | undefined;
  /**
   * Whether the SDK adds checksums to requests, which not every other service understands.
   *
   * @default "when-required" with a `serverAddress`, otherwise what the SDK does by itself
   */
  readonly checksums?: "when-supported" | "when-required" | undefined;
  /** Whether the SDK asks for checksums of answers and checks them. @default as for requests */
  readonly responseChecksums?: "when-supported" | "when-required" | undefined;
  /** Length of one part of an upload in bytes, from 5 MiB to 5 GiB; grows where 10,000 parts would not do. @default 16777216 */
  readonly partBytes?: number | undefined;
  /** Parts sent at once; that many are in memory when a body cannot be opened anywhere. @default 4 */
  readonly uploadConcurrency?: number | undefined;
  /** Tries of one part. @default 3 */
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
  /** Takes one line for people. @default nobody listens */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: (() => number) | undefined;
  /** Waits; rejects with the signal's reason when aborted. @default a timer */
  readonly sleep?: ((milliseconds: number, signal?: AbortSignal) => Promise<void>) | undefined;
}

/** Credentials as AWS SDKs take them. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/**
 * The keys that requests are signed with, or `undefined` for the chain of the SDK. Keys without a `serverAddress` count only
 * when `authentication` says so: that is how GitLab's runner has always read its configuration.
 *
 * @throws {TypeError} keys are wanted and not there
 */
export function staticCredentials(options: S3StoreOptions): S3Credentials | undefined {
  const { accessKeyId = "", secretAccessKey = "", sessionToken = "", serverAddress = "", authentication } = options;
  const complete = accessKeyId !== "" && secretAccessKey !== "";
  if (authentication === "access-key" && !complete) {
    throw new TypeError("authentication by access key needs both accessKeyId and secretAccessKey");
  }
  const wanted = authentication === undefined ? complete && serverAddress !== "" : authentication === "access-key";
  if (!wanted) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === "" ? {} : { sessionToken }) };
}
