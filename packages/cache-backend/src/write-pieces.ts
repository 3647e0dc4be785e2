import { write } from "node:fs";
import type { FileHandle } from "node:fs/promises";

/**
 * Writes bytes in small pieces, all of them at once: of one of many, the threads that write are woken a few times only.
 *
 * A file system that keeps what is written in large folios gives a write of more than 32 KiB memory of its own size. In a virtual machine whose
 * host takes back free memory, only the large blocks of it are taken back, and each of their pages comes back from the host one by one: the
 * first gigabyte in pieces of 512 KiB then takes ten times the processor time of one in pieces of 32 KiB.
 *
 * @param position - in the file, in bytes
 * @throws the system's error of the first piece that fails, when no other one is on its way any more
 * @see https://docs.kernel.org/mm/free_page_reporting.html
 */
export function writeInPieces(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let underway = 0;
    let failure: NodeJS.ErrnoException | undefined;
    const writePiece = (start: number, end: number): void => {
      underway += 1;
      write(file.fd, bytes, start, end - start, position + start, (error, written) => {
        underway -= 1;
        failure ??= error ?? undefined;
        // The rest of a short write tells why it was short.
        if (failure === undefined && start + written < end) writePiece(start + written, end);
        if (underway > 0) return;
        if (failure === undefined) resolve();
        else reject(failure);
      });
    };
    for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
      writePiece(start, Math.min(start + PIECE_BYTES, bytes.byteLength));
    }
    if (underway === 0) resolve();
  });
}

/** The most for which Linux takes memory from the pages that it has in stock for each processor. */
const PIECE_BYTES = 32 * 1024;
