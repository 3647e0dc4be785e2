/** Integers in memory that all participants share. */
export function shareNumbers(numbers: readonly number[]): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(numbers.length * 4);
  new Int32Array(shared).set(numbers);
  return shared;
}
