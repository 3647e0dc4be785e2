// What each thread of the pool runs: it takes part in one job after the other.
import { parentPort } from "node:worker_threads";

import type { SharedControl } from "./engine/control.ts";
import { JobControl } from "./engine/control.ts";
import { encodeFailure } from "./engine/failure.ts";
import type { EncodedFailure } from "./engine/failure.ts";
import { participate } from "./engine/participate.ts";
import type { Task } from "./engine/participate.ts";

/** Asks a worker to take part in a job. */
export interface JoinMessage {
  readonly task: Task;
  readonly control: SharedControl;
  readonly participant: number;
}

/** The worker's answer when it has left the job. */
export interface LeftMessage {
  readonly failure: EncodedFailure | undefined;
  /** Of a job that computes something. */
  readonly result: unknown;
}

parentPort?.on("message", ({ task, control, participant }: JoinMessage) => {
  participate(task, new JobControl(control), participant).then(
    (result) => leave({ failure: undefined, result }),
    (error: unknown) => leave({ failure: encodeFailure(error), result: undefined }),
  );
});

function leave(message: LeftMessage): void {
  parentPort?.postMessage(message);
}
