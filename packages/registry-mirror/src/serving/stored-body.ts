import type { Digest } from "../reference/grammar.ts";
import type { ByteSpan } from "../reference/range.ts";
import { bodyOf } from "../storage/body.ts";
import type { Body } from "../storage/body.ts";
import type { OpenedBlob } from "../storage/disk.ts";
import { hashFor, isDigestOf } from "../reference/hash.ts";

/** Reads a stored blob to its end; remembers when its bytes are what the digest says. */
export async function checkStored(digest: Digest, opened: OpenedBlob): Promise<"damaged" | "readable" | "unreadable"> {
  const hash = hashFor(digest);
  const reader = createPieceReader(opened, { start: 0, end: opened.bytes });
  try {
    for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) {
      if (chunk.byteLength === 0) return "damaged";
      hash.update(chunk);
    }
  } catch {
    return "unreadable";
  }
  if (!isDigestOf(digest, hash)) return "damaged";
  opened.markVerified();
  return "readable";
}

/** A part of a stored blob; the next piece is read while the one before is on its way to the client. */
export function plainBody(opened: OpenedBlob, span: ByteSpan, close: () => void): Body {
  const reader = createPieceReader(opened, span);
  return bodyOf(
    async () => {
      const chunk = await reader.next();
      if (chunk?.byteLength === 0) throw new Error("a stored blob ends early");
      return chunk;
    },
    async () => {
      await reader.settled();
      close();
    },
  );
}

/**
 * A whole stored blob, checked while it is read: the last piece is held back until everything was found to be right.
 *
 * @param onDamaged - called when it was not; the body ends with an error then
 */
export function checkedBody(
  digest: Digest,
  opened: OpenedBlob,
  close: () => void,
  onDamaged: () => Promise<void>,
): Body {
  const hash = hashFor(digest);
  const reader = createPieceReader(opened, { start: 0, end: opened.bytes });
  let position = 0;
  let isDone = false;
  const pull = async (): Promise<Uint8Array | undefined> => {
    if (isDone) return undefined;
    const chunk = (await reader.next()) ?? new Uint8Array();
    position += chunk.byteLength;
    hash.update(chunk);
    if (position < opened.bytes && chunk.byteLength > 0) return chunk;
    isDone = true;
    if (!isDigestOf(digest, hash)) {
      await onDamaged();
      throw new Error("a stored blob is damaged");
    }
    opened.markVerified();
    return chunk;
  };
  return bodyOf(pull, async () => {
    await reader.settled();
    close();
  });
}

interface PieceReader {
  /** The next piece, good until the next call; undefined at the end. An empty one means that the file ends early. */
  next(): Promise<Uint8Array | undefined>;
  /** Resolves when nothing is read any more. */
  settled(): Promise<void>;
}

/** Two buffers: one that a client gets, and one that is filled meanwhile. */
function createPieceReader(opened: OpenedBlob, { start, end }: ByteSpan): PieceReader {
  let position = start;
  let ahead: Promise<Uint8Array> | undefined;
  let free = Buffer.allocUnsafeSlow(Math.min(readBytes, end - start));
  let used = Buffer.alloc(0);
  const begin = (): void => {
    if (position >= end) return;
    if (free.byteLength === 0) free = Buffer.allocUnsafeSlow(readBytes);
    const length = Math.min(free.byteLength, end - position);
    ahead = readFully(opened, free, length, position);
    ahead.catch(() => {});
    position += length;
    [free, used] = [used, free];
  };
  begin();
  return {
    async next() {
      const chunk = await ahead;
      ahead = undefined;
      begin();
      return chunk;
    },
    settled: async () => void (await ahead?.catch(() => {})),
  };
}

async function readFully(opened: OpenedBlob, buffer: Buffer, length: number, position: number): Promise<Uint8Array> {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await opened.handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) return buffer.subarray(0, 0);
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

const readBytes = 256 * 1024;
