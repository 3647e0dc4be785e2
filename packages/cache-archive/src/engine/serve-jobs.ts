import type { MessagePort } from "node:worker_threads";

import { JobControl } from "./control.ts";
import type { SharedControl } from "./control.ts";
import { encodeFailure } from "./failure.ts";
import type { EncodedFailure } from "./failure.ts";
import { participate } from "./participate.ts";
import type { Task, ThreadTaskHandler } from "./task.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** Asks a thread to take part in a job. */
export interface JoinMessage {
  readonly task: Task;
  readonly control: SharedControl;
  readonly participant: number;
}

/** The thread's answer when it has left the job. */
export interface LeftMessage {
  readonly failure: EncodedFailure | undefined;
  /** Of a job that computes something. */
  readonly result: unknown;
}

/** Takes part in one job after the other, as the pool asks for it. */
export function serveJobs(port: MessagePort, handlers: readonly ThreadTaskHandler<never>[]): void {
  const leave = (message: LeftMessage): void => port.postMessage(message);
  port.on("message", ({ task, control: shared, participant }: JoinMessage) => {
    const control = new JobControl(shared);
    participate(() => openTask(handlers, task, control), control, participant).then(
      (result) => leave({ failure: undefined, result }),
      (error: unknown) => leave({ failure: encodeFailure(error), result: undefined }),
    );
  });
}

function openTask(
  handlers: readonly ThreadTaskHandler<never>[],
  task: Task,
  control: JobControl,
): UnitRunner | Promise<UnitRunner> {
  const handler = handlers.find(({ kinds }) => kinds.includes(task.kind));
  if (handler === undefined) throw new TypeError(`nobody does tasks of the kind ${task.kind}`);
  return handler.open(task as never, control);
}
