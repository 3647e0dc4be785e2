import type { Clock } from "../clock.ts";
import type { Disk } from "./disk.ts";
import { hashFor, isDigestOf } from "../reference/hash.ts";

/**
 * Reads everything that is stored once, slowly enough to disturb nobody, and removes what is not what its name says. It is
 * fetched again when somebody wants it.
 */
export async function scrub(disk: Disk, clock: Clock, signal: AbortSignal): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  for (const { digest } of disk.blobs()) {
    signal.throwIfAborted();
    const opened = await disk.openBlob(digest, { isUse: false });
    if (opened === undefined) continue;
    const hash = hashFor(digest);
    try {
      for (let position = 0; position < opened.bytes;) {
        const { bytesRead } = await opened.handle.read(buffer, 0, readBytes, position);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        position += bytesRead;
        await clock.sleep((bytesRead / bytesPerSecond) * 1000, signal);
      }
    } finally {
      await opened.handle.close();
    }
    if (isDigestOf(digest, hash)) opened.markVerified();
    else await disk.discardDamaged(digest);
  }
}

const readBytes = 256 * 1024;
const bytesPerSecond = 10_000_000;
