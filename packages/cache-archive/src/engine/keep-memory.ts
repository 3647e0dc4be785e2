import { releaseMemory } from "./release-memory.ts";

/**
 * Lets this process keep memory that was given back until it is used again.
 *
 * The usual C library gives back to the system what lies free at the end of a thread's memory as soon as that is twice as long as the longest
 * piece that was ever given back, and a compressor with what it makes of four megabytes is just longer than twice that. Both would
 * come anew from the system for each frame, page by page. So a longer piece is given back once, of which nothing was ever used.
 */
export function keepMemory(): void {
  if (isKept) return;
  isKept = true;
  releaseMemory(Buffer.allocUnsafeSlow(KEPT_BYTES));
}

/** In each thread; more often does nothing. */
let isKept = false;

const KEPT_BYTES = 8 * 1024 * 1024;
