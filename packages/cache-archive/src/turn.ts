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

/** What tells a computation to stop: a signal, or the control of a job. */
interface Stop {
  throwIfAborted(): void;
}

/** Takes the steps of a long computation in turns. @throws what `stop` throws; the computation has closed what it had open then */
export async function inTurns<T>(steps: Generator<void, T>, stop: Stop | undefined): Promise<T> {
  const turn = new Turn();
  try {
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
      stop?.throwIfAborted();
      if (turn.isOver) await turn.next();
    }
  } finally {
    // Its type wants a result, which nobody sees.
    steps.return(undefined as T);
  }
}

/**
 * Does something for each of so many items, in steps of some of them. Each step is a loop of an ordinary function: the engine compiles one that is
 * a generator's own late and badly, and tens of thousands of items then take twice as long.
 */
export function* inSteps(count: number, perStep: number, visit: (index: number) => void): Generator<void, void> {
  for (let first = 0; first < count; first += perStep) {
    visitRange(first, Math.min(first + perStep, count), visit);
    yield;
  }
}

function visitRange(first: number, end: number, visit: (index: number) => void): void {
  for (let index = first; index < end; index += 1) visit(index);
}
