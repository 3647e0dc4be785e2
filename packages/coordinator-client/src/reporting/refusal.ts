/**
 * Whether an answer will be the same when asked again: the coordinator understood and said no. Network failures, rate
 * limits and outages are no refusals.
 *
 * @see coordinator-protocol 2.1
 */
export function isRefusal(status: number): boolean {
  if (status < 400 || status === 408 || status === 429) return false;
  if (status < 500) return true;
  return status === 501 || (status >= 505 && status <= 511);
}
