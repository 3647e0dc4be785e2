import type { CoordinatorClient, CoordinatorClientOptions } from "./client.ts";

/** Makes the client of one coordinator. */
export function createCoordinatorClient(options: CoordinatorClientOptions): CoordinatorClient {
  throw new Error(`not there yet: ${options.url}`);
}
