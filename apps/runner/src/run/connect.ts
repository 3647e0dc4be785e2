import {
  createCoordinatorClient,
  InvalidInstanceUrlError,
  type CoordinatorClient,
  type Logger,
} from "@fleetfoot/coordinator-client";
import { UsageError } from "../errors.ts";
import { runnerInfo } from "../runner-info.ts";

/**
 * Makes the client of one runner's instance.
 *
 * @throws {UsageError} the address cannot be one of an instance
 */
export function connect(
  runner: { readonly url: string; readonly executor: string; readonly shell: string },
  logger: Logger,
): CoordinatorClient {
  try {
    return createCoordinatorClient({ url: runner.url, info: runnerInfo(runner.executor, runner.shell), logger });
  } catch (error) {
    if (!(error instanceof InvalidInstanceUrlError)) throw error;
    throw new UsageError(error.message, {
      cure: "Give the address of the instance, for example https://gitlab.example.com.",
      cause: error,
    });
  }
}
