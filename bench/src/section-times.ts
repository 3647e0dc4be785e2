/**
 * How long the stages of a job took, by the times in front of the lines of its log.
 *
 * @param trace - of a job with `FF_TIMESTAMPS`, which is the default
 * @returns milliseconds by the name of the section, such as `restore_cache`
 */
export function sectionTimes(trace: string): ReadonlyMap<string, number> {
  const startedAt = new Map<string, number>();
  const times = new Map<string, number>();
  for (const [, time = "", side, name = ""] of trace.matchAll(MARKER)) {
    const atMs = Date.parse(time);
    if (side === "start") startedAt.set(name, atMs);
    else times.set(name, atMs - (startedAt.get(name) ?? Number.NaN));
  }
  return times;
}

const MARKER = /^(\S+Z) \w{3}[ +](?:\u001B\[0K)?section_(start|end):\d+:(\w+)/gm;
