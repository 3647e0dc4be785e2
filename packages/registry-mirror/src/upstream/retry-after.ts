/**
 * Reads `Retry-After` (seconds or a date) as milliseconds, between 1 second and 15 minutes.
 *
 * @returns a minute when the header is missing or makes no sense
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
 */
export function parseRetryAfter(header: string | undefined, nowMs: number): number {
  const text = (header ?? "").trim();
  const milliseconds = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  if (Number.isNaN(milliseconds)) return 60_000;
  return Math.min(Math.max(milliseconds, 1000), 15 * 60_000);
}
