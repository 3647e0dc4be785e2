/**
 * Gives long memory back at once, which may not be used any more afterwards.
 *
 * The collector of garbage runs long after megabytes could have been used again: they would be taken anew from the system, page
 * by page, and every few of them would make it look through the whole heap.
 */
export function releaseMemory(bytes: Buffer): void {
  const { buffer } = bytes;
  // Short ones share their memory with others.
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength <= SHORT_BYTES || buffer.byteLength <= Buffer.poolSize)
    return;
  // Memory of another length is other memory; what had this one is empty now.
  buffer.transfer(0);
}

const SHORT_BYTES = 64 * 1024;
