/**
 * Reads `RateLimit-ResetTime`: an RFC 1123 date in GMT, nothing else.
 *
 * The weekday must be a name but need not be the right one. A day of one digit, a zone other than GMT or UTC and every
 * other date layout count as unparsable: an ignored zone would mean coming back hours too early.
 *
 * @returns epoch milliseconds, or undefined when unparsable
 * @see coordinator-protocol 2.2, 2.4
 */
export function parseResetTime(value: string): number | undefined {
  const match = RFC_1123.exec(value);
  if (match === null) {
    return undefined;
  }
  const [, day = "", monthName = "", year = "", hour = "", minute = "", second = ""] = match;
  const month = MONTHS.indexOf(monthName.toLowerCase());
  const date = new Date(0);
  // Not Date.UTC: it takes the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(Number(year), month, Number(day));
  if (date.getUTCDate() !== Number(day) || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) {
    return undefined;
  }
  return date.setUTCHours(Number(hour), Number(minute), Number(second));
}

/**
 * Reads `Retry-After`: whole seconds with an optional sign, nothing else; its date form is not part of this protocol.
 *
 * @returns milliseconds, possibly zero or negative, or undefined when unparsable or beyond 64-bit nanoseconds
 * @see coordinator-protocol 2.2, 2.4
 */
export function parseRetryAfter(value: string): number | undefined {
  if (!/^[+-]?\d+$/.test(value)) {
    return undefined;
  }
  const seconds = Number(value);
  return Math.abs(seconds) > LONGEST_SECONDS ? undefined : seconds * 1000;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const RFC_1123 = new RegExp(
  `^(?:mon|tue|wed|thu|fri|sat|sun), (\\d{2}) (${MONTHS.join("|")}) (\\d{4}) (\\d{2}):(\\d{2}):(\\d{2}) (?:GMT|UTC)$`,
  "i",
);
/** Seconds that a 64-bit count of nanoseconds can hold. */
const LONGEST_SECONDS = 9_223_372_036;
