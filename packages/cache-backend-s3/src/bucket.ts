import { createHash } from "node:crypto";
import {
  CreateBucketCommand,
  GetBucketLifecycleConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
} from "@aws-sdk/client-s3";
import type { LifecycleRule, S3Client } from "@aws-sdk/client-s3";
import { createClients } from "./clients.ts";
import { kind, withStoreErrors } from "./failures.ts";
import type { S3StoreOptions } from "./options.ts";

/** When a bucket forgets caches by itself. */
export interface ExpiryOptions {
  /** Names of objects that it is about start so; empty is all of them. */
  readonly prefix: string;
  /** Whole days after which an object goes. A cache that is saved again begins anew. */
  readonly days: number;
}

/**
 * Makes the bucket; one of our own that is there already stays as it is.
 *
 * @throws {CacheStoreError} the service refuses
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
 */
export async function createBucket(options: S3StoreOptions, signal?: AbortSignal): Promise<void> {
  const send = abortedBy(signal);
  await inBucket(options, "create bucket", signal, async (client) => {
    try {
      await client.send(new CreateBucketCommand({ Bucket: options.bucket }), send);
    } catch (error) {
      if (!(error instanceof Error && error.name === "BucketAlreadyOwnedByYou")) throw error;
    }
  });
}

/**
 * The rule that lets a bucket forget caches, and what broken uploads left.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
 */
export function expiryRule({ prefix, days }: ExpiryOptions): LifecycleRule {
  return {
    ID: ruleId(prefix),
    Status: "Enabled",
    Filter: { Prefix: prefix },
    Expiration: { Days: days },
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
  };
}

/**
 * Sets the rule in the bucket. Rules of others stay, and so do ours for other prefixes; an earlier one for the same prefix is replaced.
 *
 * @throws {CacheStoreError} the service refuses
 */
export async function expireCaches(
  options: S3StoreOptions,
  expiry: ExpiryOptions,
  signal?: AbortSignal,
): Promise<void> {
  const bucket = { Bucket: options.bucket };
  const send = abortedBy(signal);
  await inBucket(options, "set expiry", signal, async (client) => {
    const others = await client
      .send(new GetBucketLifecycleConfigurationCommand(bucket), send)
      .then(({ Rules = [] }) => Rules.filter((rule) => !isOurs(rule, expiry)), noRules);
    const configuration = { Rules: [...others, expiryRule(expiry)] };
    await client.send(
      new PutBucketLifecycleConfigurationCommand({ ...bucket, LifecycleConfiguration: configuration }),
      send,
    );
  });
}

function abortedBy(signal: AbortSignal | undefined): { readonly abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

async function inBucket(
  options: S3StoreOptions,
  operation: string,
  signal: AbortSignal | undefined,
  action: (client: S3Client) => Promise<void>,
): Promise<void> {
  const client = createClients(options).client();
  try {
    await withStoreErrors({ store: kind, operation, object: options.bucket, signal }, () => action(client));
  } finally {
    client.destroy();
  }
}

const EXPIRY_RULE = "fleetfoot-cache-expiry";

/** Runners that share a bucket have a rule each. A prefix may be longer than an id. */
function ruleId(prefix: string): string {
  return prefix === ""
    ? EXPIRY_RULE
    : `${EXPIRY_RULE}-${createHash("sha256").update(prefix).digest("hex").slice(0, 8)}`;
}

function isOurs({ ID = "", Filter }: LifecycleRule, { prefix }: ExpiryOptions): boolean {
  return ID.startsWith(EXPIRY_RULE) && (Filter?.Prefix ?? "") === prefix;
}

function noRules(error: unknown): readonly LifecycleRule[] {
  if (error instanceof Error && error.name === "NoSuchLifecycleConfiguration") return [];
  throw error;
}
