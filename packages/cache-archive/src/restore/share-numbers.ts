/** Integers in memory that all participants share, one list after the other. */
export function shareNumbers(...lists: readonly ArrayLike<number>[]): SharedArrayBuffer {
  const length = lists.reduce((sum, list) => sum + list.length, 0);
  const shared = new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
  let end = 0;
  for (const list of lists) {
    shared.set(list, end);
    end += list.length;
  }
  return shared.buffer;
}
