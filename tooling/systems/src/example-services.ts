import { startAzurite } from "./azurite.ts";
import { startFakeGcsServer } from "./fake-gcs-server.ts";
import { startMinio } from "./minio.ts";
import type { RunningSystem } from "./running-system.ts";

/** A real service for the examples of one package, and the variables that tell them where it is. */
export interface ExampleService {
  readonly system: RunningSystem;
  readonly environment: Readonly<Record<string, string>>;
}

const BUCKET = "caches";

/** What starts the service that the examples of a package talk to, by the package's name. */
export const exampleServices: Readonly<Record<string, () => Promise<ExampleService>>> = {
  async "@fleetfoot/cache-backend-s3"() {
    const system = await startMinio();
    await system.createBucket(BUCKET);
    return {
      system,
      environment: {
        CACHE_S3_SERVER_ADDRESS: new URL(system.endpoint).host,
        CACHE_S3_ACCESS_KEY: system.accessKeyId,
        CACHE_S3_SECRET_KEY: system.secretAccessKey,
      },
    };
  },
  async "@fleetfoot/cache-backend-gcs"() {
    const system = await startFakeGcsServer();
    await system.createBucket(BUCKET);
    return { system, environment: { CACHE_GCS_ENDPOINT: system.endpoint } };
  },
  async "@fleetfoot/cache-backend-azure"() {
    const system = await startAzurite();
    await system.createContainer(BUCKET);
    return {
      system,
      environment: {
        CACHE_AZURE_ACCOUNT_NAME: system.accountName,
        CACHE_AZURE_ACCOUNT_KEY: system.accountKey,
        CACHE_AZURE_ENDPOINT: system.blobEndpoint,
      },
    };
  },
};
