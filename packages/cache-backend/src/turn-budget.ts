/** Counts what is handled. @returns what to wait for before more is handled; undefined when there is time left */
export type TurnBudget = (bytes: number) => Promise<void> | undefined;

/**
 * Shares the turns of the event loop with everybody else in the process: after so many bytes, from whichever connection, the rest waits for the next turn.
 * Left to itself a turn takes all that several sockets have, which is most when the process had to wait for a processor, and others have to wait then once more.
 *
 * @param mostBytes - handled in a row
 * @param nextTurn - calls back in the next turn. @default setImmediate
 */
export function turnBudget(mostBytes: number, nextTurn: (callback: () => void) => void = setImmediate): TurnBudget {
  let handled = 0;
  let waiting: Promise<void> | undefined;
  return (bytes) => {
    handled += bytes;
    if (handled < mostBytes) return undefined;
    waiting ??= new Promise((resolve) => {
      nextTurn(() => {
        handled = 0;
        waiting = undefined;
        resolve();
      });
    });
    return waiting;
  };
}
