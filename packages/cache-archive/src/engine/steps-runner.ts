import { inTurns } from "../turn.ts";
import type { JobControl } from "./control.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** Does a job of one unit, which is a computation in short steps. An abort is heard between two of them. */
export class StepsRunner implements UnitRunner {
  readonly #steps: Generator<void, unknown>;
  readonly #control: JobControl;
  result: unknown;

  constructor(steps: Generator<void, unknown>, control: JobControl) {
    this.#steps = steps;
    this.#control = control;
  }

  async run(): Promise<void> {
    this.result = await inTurns(this.#steps, this.#control);
    this.#control.finish();
  }

  settle(): void {
    // Nothing is held back.
  }
}
