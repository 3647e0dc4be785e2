import { NO_ANSWER_STATUS, type UpdateJobResult } from "@fleetfoot/coordinator-client";
import { Secret } from "@fleetfoot/coordinator-client";
import { describe, expect, it } from "vitest";

import { announceJob } from "./announce-job.ts";
import type { RunJobOptions } from "./options.ts";

const credentials = { id: 7, token: new Secret("job-token") };

function answerOf(status: number): UpdateJobResult {
  return {
    status,
    attempts: 1,
    throttled: status === 503,
    requestId: "",
    message: "",
    outcome: status === 200 ? "succeeded" : status === 403 ? "abort" : "failed",
    cancelRequested: false,
    updateIntervalMs: undefined,
  };
}

async function announce(
  statuses: readonly number[],
  signal = new AbortController().signal,
  now = (): number => 0,
): Promise<{ readonly status: number; readonly waits: readonly number[]; readonly calls: number }> {
  const waits: number[] = [];
  let calls = 0;
  const answer = await announceJob(
    {
      signal,
      now,
      sleep: async (ms: number) => void waits.push(ms),
      client: {
        updateJob: async (_job: unknown, update: unknown) => {
          expect(update).toEqual({ state: "running" });
          calls += 1;
          return answerOf(statuses[calls - 1] ?? Number.NaN);
        },
      },
    } as unknown as RunJobOptions,
    credentials,
  );
  return { status: answer.status, waits, calls };
}

describe("announceJob", () => {
  it("says it once when there is an answer, whatever it is", async () => {
    expect(await announce([200])).toEqual({ status: 200, waits: [], calls: 1 });
    expect(await announce([403])).toEqual({ status: 403, waits: [], calls: 1 });
    expect(await announce([500])).toEqual({ status: 500, waits: [], calls: 1 });
  });

  it("repeats it when the connection broke: an unconfirmed job would be given to another runner", async () => {
    expect(await announce([NO_ANSWER_STATUS, NO_ANSWER_STATUS, 200])).toEqual({
      status: 200,
      waits: [250, 1000],
      calls: 3,
    });
  });

  it("repeats it when the coordinator could not take it, as often as the retry layer may try", async () => {
    expect(await announce([503, NO_ANSWER_STATUS, 503, 200])).toEqual({
      status: 200,
      waits: [250, 1000, 4000],
      calls: 4,
    });
  });

  it("does not repeat it for a coordinator that has asked for much patience already", async () => {
    let timeMs = 0;
    const answer = await announce([503, 503], undefined, () => (timeMs += 20_000));
    expect(answer).toEqual({ status: 503, waits: [], calls: 1 });
  });

  it("gives up after four tries and lets the job run", async () => {
    const none = NO_ANSWER_STATUS;
    expect(await announce([none, none, none, none])).toEqual({ status: none, waits: [250, 1000, 4000], calls: 4 });
  });

  it("does not repeat it when the runner is told to stop", async () => {
    expect(await announce([NO_ANSWER_STATUS], AbortSignal.abort())).toEqual({
      status: NO_ANSWER_STATUS,
      waits: [],
      calls: 1,
    });
  });
});
