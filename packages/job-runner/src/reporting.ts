import { noopLogger, startJobReporter } from "@fleetfoot/coordinator-client";
import type { CallOptions, JobCredentials, JobReporter } from "@fleetfoot/coordinator-client";
import type { JobTrace } from "@fleetfoot/job-trace";

import type { JobRecord } from "./job-record.ts";
import type { JobSignals } from "./job-signals.ts";
import type { RunJobOptions } from "./options.ts";

/** Starts to send the log; the answers may cancel or abort the job. */
export function startReporting(
  options: RunJobOptions,
  credentials: JobCredentials,
  trace: JobTrace,
  debugTrace: boolean,
  signals: JobSignals,
  record: JobRecord,
): JobReporter {
  const { client, reporting = {}, logger = noopLogger, now, sleep, giveUpSignal } = options;
  return startJobReporter({
    calls: {
      updateJob: (update, call) => client.updateJob(credentials, update, call),
      patchTrace: (chunk, call) => client.patchTrace(credentials, chunk, call),
    },
    trace,
    debugTrace,
    onCancel: () => signals.cancel(),
    onAbort: () => signals.abort(),
    ...reporting,
    logger,
    onAcknowledged: (bytes) => record.acknowledge(bytes),
    ...(now === undefined ? {} : { now }),
    ...(sleep === undefined ? {} : { sleep }),
    ...(giveUpSignal === undefined ? {} : { signal: giveUpSignal }),
  });
}

/** What a call to the coordinator came to, or what stands for it when the coordinator was given up in the meantime. */
export async function unlessGivenUp<Answer>(
  { giveUpSignal }: Pick<RunJobOptions, "giveUpSignal">,
  call: (callOptions: CallOptions) => Promise<Answer>,
  otherwise: Answer,
): Promise<Answer> {
  try {
    return await call(giveUpSignal === undefined ? {} : { signal: giveUpSignal });
  } catch (error) {
    if (giveUpSignal?.aborted) return otherwise;
    throw error;
  }
}
