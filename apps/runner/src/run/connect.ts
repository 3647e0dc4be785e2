import { createCoordinatorClient, type CoordinatorClient, type Logger } from "@fleetfoot/coordinator-client";
import { runnerInfo } from "../runner-info.ts";

/** Makes the client of one runner's instance. An unusable address shows when the first call is made. */
export function connect(
  runner: { readonly url: string; readonly executor: string; readonly shell: string },
  logger: Logger,
): CoordinatorClient {
  return createCoordinatorClient({ url: runner.url, info: runnerInfo(runner.executor, runner.shell), logger });
}
