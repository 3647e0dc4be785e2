import type { RunnerCache } from "@fleetfoot/runner-config";
import { UsageError } from "../errors.ts";
import { gcsOptions, s3Options, type StoreTools } from "../stores/store-options.ts";

/** Which caches go, and when. */
interface Expiry {
  readonly prefix: string;
  readonly days: number;
}

/** A rule that lets a bucket forget caches, in the form that its cloud takes. */
export interface ExpiryRule {
  readonly value: unknown;
  /** What to do with it, a sentence. */
  readonly advice: string;
  /** Sets it; undefined where that takes another interface than the store's. */
  readonly apply: ((signal: AbortSignal) => Promise<void>) | undefined;
}

/** Makes the rule for the kind of store that a runner has. */
export async function expiryRuleFor(cache: RunnerCache, expiry: Expiry, tools: StoreTools): Promise<ExpiryRule> {
  if (cache.type === "gcs") {
    const { expireCaches, expiryRule } = await import("@fleetfoot/cache-backend-gcs");
    const options = await gcsOptions(cache, tools);
    return {
      value: { rule: [expiryRule(expiry)] },
      advice: "Set it with --apply, or with gcloud storage buckets update --lifecycle-file, which replaces all rules.",
      apply: (signal) => expireCaches(options, expiry, signal),
    };
  }
  if (cache.type === "azure") return azureRule(cache, expiry);
  if (cache.type === "local") {
    throw new UsageError("A store in a directory has no rules that could be printed.", {
      cure: "Write MaxUnused, MaxBytes or MinFreeBytes into [runners.cache.local].",
    });
  }
  const { expireCaches, expiryRule } = await import("@fleetfoot/cache-backend-s3");
  const options = await s3Options(cache, tools);
  return {
    value: { Rules: [expiryRule(expiry)] },
    advice: "Set it with --apply, or with aws s3api put-bucket-lifecycle-configuration, which replaces all rules.",
    apply: (signal) => expireCaches(options, expiry, signal),
  };
}

/** @see https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-overview */
function azureRule({ azure }: RunnerCache, { prefix, days }: Expiry): ExpiryRule {
  const { accountName = "", containerName = "" } = azure ?? {};
  return {
    value: {
      rules: [
        {
          name: "fleetfoot-cache-expiry",
          enabled: true,
          type: "Lifecycle",
          definition: {
            filters: { blobTypes: ["blockBlob"], prefixMatch: [`${containerName}/${prefix}`] },
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: days } } },
          },
        },
      ],
    },
    advice: `Azure takes it from its management interface alone: az storage account management-policy create --account-name ${accountName} --resource-group GROUP --policy @FILE, which replaces all rules.`,
    apply: undefined,
  };
}
