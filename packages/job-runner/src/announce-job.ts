import { NO_ANSWER_STATUS } from "@fleetfoot/coordinator-client";
import type { JobCredentials, UpdateJobResult } from "@fleetfoot/coordinator-client";
import { sleep as realSleep } from "@fleetfoot/coordinator-client/retry";

import type { RunJobOptions } from "./options.ts";
import { unlessGivenUp } from "./reporting.ts";

/** Waits between the tries to say that a job runs; with the tries themselves far below the two minutes that a coordinator waits. */
const RETRY_WAITS_MS = [250, 1000, 4000];

/** No further try after so long: a coordinator that asks for much patience does not get the job delayed by a multiple of it. */
const LAST_TRY_MS = 15_000;

/**
 * Tells the coordinator that the job runs.
 *
 * A request without any answer, or whose answer says that it may be tried again, is repeated: a coordinator that hands jobs out in two phases gives a job
 * that was never confirmed to somebody else, and then it would run twice. After the last try, or any other answer, the job runs all the same.
 *
 * @see coordinator-protocol 2.6, 4.6
 */
export async function announceJob(options: RunJobOptions, credentials: JobCredentials): Promise<UpdateJobResult> {
  const { client, signal, giveUpSignal, sleep = realSleep, now = Date.now } = options;
  const startedAtMs = now();
  const announce = (): Promise<UpdateJobResult> =>
    unlessGivenUp(options, (call) => client.updateJob(credentials, { state: "running" }, call), GIVEN_UP);
  let answer = await announce();
  for (const waitMs of RETRY_WAITS_MS) {
    if (!mayHelp(answer) || signal.aborted || giveUpSignal?.aborted) return answer;
    if (now() - startedAtMs > LAST_TRY_MS) return answer;
    // A runner that is told to stop reports the job at once; it has no time for a further try.
    await sleep(waitMs, signal).catch(() => undefined);
    answer = await announce();
  }
  return answer;
}

/** Whether the coordinator may not know of the job's start, and may take it when told again. */
function mayHelp({ outcome, status, throttled }: UpdateJobResult): boolean {
  return outcome === "failed" && (status === NO_ANSWER_STATUS || throttled);
}

const GIVEN_UP: UpdateJobResult = {
  outcome: "failed",
  status: NO_ANSWER_STATUS,
  attempts: 0,
  throttled: false,
  requestId: "",
  message: "given up",
  cancelRequested: false,
  updateIntervalMs: undefined,
};
