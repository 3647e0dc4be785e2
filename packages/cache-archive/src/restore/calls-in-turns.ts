import type { FileCalls } from "@fleetfoot/directory-lock";

/** Makes so many calls at a time, the others in the order in which they were asked for. */
export function callsInTurns(atOnce: number): FileCalls {
  let free = atOnce;
  const waiting: (() => void)[] = [];
  const run = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await call();
    } finally {
      // The next one has the place at once.
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
  return { run, afterwards: async (call) => void (await run(call)) };
}
