/** The value in the middle of a sorted list; of two, the mean. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** The least value that at least so many percent of a list do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** `median (least-most)` in the given unit. */
export function spread(values: readonly number[], unit: string, digits = 0): string {
  const text = (value: number): string => value.toFixed(digits);
  return `${text(median(values))} ${unit} (${text(Math.min(...values))}-${text(Math.max(...values))})`;
}
