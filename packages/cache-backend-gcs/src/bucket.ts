import { kind } from "./failures.ts";
import type { StoreCall } from "@fleetfoot/cache-backend";
import type { GcsStoreOptions } from "./options.ts";
import { jsonOf, openService } from "./service.ts";
import { escape } from "./signed-url.ts";

/** When a bucket forgets caches by itself. */
export interface ExpiryOptions {
  /** Names of objects that it is about start so; empty is all of them. */
  readonly prefix: string;
  /** Whole days after which an object goes. A cache that is saved again begins anew. */
  readonly days: number;
}

/** One rule of a bucket, as the service writes it. */
export interface LifecycleRule {
  readonly action: { readonly type: string };
  readonly condition: Readonly<Record<string, unknown>>;
}

/**
 * The rule that lets a bucket forget caches.
 *
 * @see https://cloud.google.com/storage/docs/lifecycle
 */
export function expiryRule({ prefix, days }: ExpiryOptions): LifecycleRule {
  const matches = prefix === "" ? {} : { matchesPrefix: [prefix] };
  return { action: { type: "Delete" }, condition: { age: days, ...matches } };
}

/**
 * Sets the rule in the bucket. Rules of others stay; one that deletes the same objects by age is replaced.
 *
 * @throws {CacheStoreError} the service refuses, or the rules were changed by somebody else at the same time
 * @see https://cloud.google.com/storage/docs/json_api/v1/buckets/patch
 */
export async function expireCaches(
  options: GcsStoreOptions,
  expiry: ExpiryOptions,
  signal?: AbortSignal,
): Promise<void> {
  const service = openService(options);
  const url = `${service.endpoint}/storage/v1/b/${escape(options.bucket)}`;
  const call: StoreCall = { store: kind, operation: "set expiry", object: options.bucket, signal };
  const answer = await service.send(call, { method: "GET", url: `${url}?fields=metageneration,lifecycle` });
  const bucket = (await jsonOf(call, answer)) as Bucket;
  const rule = expiryRule(expiry);
  const others = (bucket.lifecycle?.rule ?? []).filter((other) => !isAboutTheSame(other, rule));
  const changed = await service.send(call, {
    method: "PATCH",
    url: `${url}?ifMetagenerationMatch=${bucket.metageneration}`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ lifecycle: { rule: [...others, rule] } }),
  });
  await changed.body.dump();
}

interface Bucket {
  readonly metageneration: string;
  readonly lifecycle?: { readonly rule?: readonly LifecycleRule[] };
}

/** These rules have no names. */
function isAboutTheSame(left: LifecycleRule, right: LifecycleRule): boolean {
  const scope = ({ action, condition: { age, ...condition } }: LifecycleRule): string =>
    JSON.stringify([action.type, typeof age, condition]);
  return scope(left) === scope(right);
}
