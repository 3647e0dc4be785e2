import type { Sleep } from "../types.ts";

/** Whether a promise settles, either way, before the time is up. */
export async function settlesWithin(work: Promise<unknown>, ms: number, sleep: Sleep): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, timer.signal).then(
    () => false,
    () => true,
  );
  const settled = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    timer.abort(new Error("no longer needed"));
  }
}
