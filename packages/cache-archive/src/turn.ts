import { setImmediate as nextTurn } from "node:timers/promises";

/** Other work of the main thread waits no longer than this and one step. */
const TURN_MS = 5;

/** Cuts long synchronous work into turns, so that other work of the thread goes on between them. */
export class Turn {
  #began: number = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#began >= TURN_MS;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#began = performance.now();
  }
}

/** Takes the steps of a long computation in turns. @throws the signal's reason when it aborts */
export async function inTurns<T>(steps: Generator<void, T>, signal: AbortSignal | undefined): Promise<T> {
  const turn = new Turn();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    signal?.throwIfAborted();
    if (turn.isOver) await turn.next();
  }
}
