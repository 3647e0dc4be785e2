/**
 * Reads a duration as people write it: `1h 30m`, `2 hrs 20 min`, `3600`, `1 week and 1 day`, `1:30:00`.
 *
 * @returns whole seconds, undefined when the text is not a duration; a number without unit means seconds
 * @see https://docs.gitlab.com/ci/yaml/#timeout
 */
export function parseDuration(text: string): number | undefined {
  const clean = text.trim().toLowerCase();
  const clock = /^(?:(\d+):)?(\d+):(\d{1,2})$/.exec(clean);
  if (clock !== null) return Number(clock[1] ?? 0) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  let seconds = 0;
  let parts = 0;
  const rest = clean.replace(PART, (_, amount: string, unit: string | undefined) => {
    const factor = unit === undefined ? 1 : secondsOf(unit);
    if (factor === undefined) return "?";
    seconds += Number(amount) * factor;
    parts++;
    return " ";
  });
  if (parts === 0 || rest.replaceAll(/\b(?:and|with|plus)\b|,/g, "").trim() !== "") return undefined;
  return Math.round(seconds);
}

const PART = /(\d+(?:\.\d+)?)\s*(?!and\b|with\b|plus\b)([a-z]+)?/g;

function secondsOf(unit: string): number | undefined {
  return UNITS.find(([names]) => names.includes(unit))?.[1];
}

const UNITS: readonly (readonly [names: readonly string[], seconds: number])[] = [
  [["s", "sec", "secs", "second", "seconds"], 1],
  [["m", "min", "mins", "minute", "minutes"], 60],
  [["h", "hr", "hrs", "hour", "hours"], 3600],
  [["d", "day", "days"], 86_400],
  [["w", "wk", "wks", "week", "weeks"], 604_800],
  [["mo", "mos", "month", "months"], 2_592_000],
  // 365.25 days, as the coordinator counts.
  [["y", "yr", "yrs", "year", "years"], 31_557_600],
];
