import type { CacheStore } from "@fleetfoot/cache-backend";
import type { AzureStoreOptions } from "@fleetfoot/cache-backend-azure";
import type { GcsStoreOptions } from "@fleetfoot/cache-backend-gcs";
import type { S3StoreOptions } from "@fleetfoot/cache-backend-s3";
import { UsageError } from "../errors.ts";
import type { StoreSettings } from "../settings/store-settings.ts";

/**
 * Opens the shared store; only the vendor's library that is needed is loaded.
 *
 * @throws {UsageError} the store refuses its settings
 */
export async function openStore({ kind, options }: StoreSettings): Promise<CacheStore> {
  try {
    switch (kind) {
      case "s3":
        return (await import("@fleetfoot/cache-backend-s3")).createS3Store(options as unknown as S3StoreOptions);
      case "gcs":
        return (await import("@fleetfoot/cache-backend-gcs")).createGcsStore(options as unknown as GcsStoreOptions);
      default:
        return (await import("@fleetfoot/cache-backend-azure")).createAzureStore(
          options as unknown as AzureStoreOptions,
        );
    }
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`${kind}: ${error.message}`, { cause: error });
    throw error;
  }
}
