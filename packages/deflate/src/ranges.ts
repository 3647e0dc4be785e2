/**
 * Modules believe what they are told, so it is checked before.
 *
 * @throws {RangeError} these places are not within so many bytes
 */
export function checkRange(start: number, end: number, bytes: number): void {
  if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= bytes) return;
  throw new RangeError(`${start} to ${end} is no part of ${bytes} bytes`);
}

/** To the lines of the processor's cache. */
export function alignUp(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
