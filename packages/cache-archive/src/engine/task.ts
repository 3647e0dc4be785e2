import type { JobControl } from "./control.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** What a job is about. Everything in it can be sent to another thread. */
export interface Task {
  /** Finds the one who does it, there. */
  readonly kind: string;
}

/** Who does tasks of some kinds. The engine knows none of them; they are handed to it. */
export interface TaskHandler<T extends Task> {
  readonly kinds: readonly string[];
  /** Called once by each participant. */
  readonly open: (task: T, control: JobControl) => UnitRunner;
}

/** The same for a thread, which loads some only when they are needed. */
export interface ThreadTaskHandler<T extends Task> extends Pick<TaskHandler<T>, "kinds"> {
  readonly open: (task: T, control: JobControl) => UnitRunner | Promise<UnitRunner>;
}
