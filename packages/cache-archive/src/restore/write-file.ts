import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  openSync,
  symlinkSync,
  write,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";

import type { EntryMetadata } from "../archived-entry.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** What becomes of the modes of restored files. */
export interface ModePolicy {
  /** Bits of a mode that come back. */
  readonly mask: number;
  /** Bits that the system takes from the mode of a new file. */
  readonly umask: number;
}

/**
 * Writes `entry.bytes` bytes from a place of `content` on into a new file, where nothing is.
 *
 * @param nowMs - when it was last read
 */
export function writeNewFile(
  place: string | Buffer,
  content: Uint8Array,
  start: number,
  entry: EntryMetadata,
  policy: ModePolicy,
  nowMs: number = Date.now(),
): void {
  const mode = entry.mode & policy.mask;
  const isPlain = !needsOwner(entry) && (mode & policy.umask) === 0 && mode <= 0o777;
  // With its own bits only if nothing will change them; else nobody else may read it until then.
  const descriptor = openSync(place, NEW, isPlain ? mode : 0o600);
  try {
    for (let done = 0; done < entry.bytes;) {
      done += writeSync(descriptor, content, start + done, entry.bytes - done);
    }
    if (!isPlain) changeOwnerAndMode(descriptor, entry, mode);
    futimesSync(descriptor, nowMs / 1000, entry.mtimeMs / 1000);
  } finally {
    closeSync(descriptor);
  }
}

/** To write, where nothing is, not even a link. Node looks at a word for less time than at a number. */
const NEW = "wx";

/** Files up to this length are written at once, also on the main thread: the calls take a tenth of a millisecond in all. */
export const SHORT_FILE_BYTES: number = 64 * 1024;

/** Writes content that comes in pieces into a new file, where nothing is, without keeping the thread while it writes. */
export async function writeNewFileInPieces(
  place: string | Buffer,
  pieces: AsyncIterable<Uint8Array>,
  entry: EntryMetadata,
  policy: ModePolicy,
): Promise<void> {
  const descriptor = openSync(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    for await (const piece of pieces) {
      for (let done = 0; done < piece.length;) {
        done += (await writeLater(descriptor, piece, done, piece.length - done, null)).bytesWritten;
      }
    }
    finishFile(descriptor, entry, policy);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes a link where nothing is. Its target is not looked at. */
export function writeNewLink(place: string | Buffer, linkTarget: Buffer, { mtimeMs, owner }: EntryMetadata): void {
  symlinkSync(linkTarget, place);
  lutimesSync(place, Date.now() / 1000, mtimeMs / 1000);
  if (owner === undefined) return;
  try {
    lchownSync(place, owner.uid, owner.gid);
  } catch {
    // Only root may give links away.
  }
}

/** Opens a long file that several participants fill; the first one makes it. */
export function openSharedFile(place: string | Buffer): number {
  return openSync(place, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
}

/** Times, permission bits and owner of a file whose content is complete. */
export function finishFile(descriptor: number, entry: EntryMetadata, { mask }: ModePolicy): void {
  changeOwnerAndMode(descriptor, entry, entry.mode & mask);
  futimesSync(descriptor, Date.now() / 1000, entry.mtimeMs / 1000);
}

function changeOwnerAndMode(descriptor: number, entry: EntryMetadata, mode: number): void {
  if (needsOwner(entry) && entry.owner !== undefined) {
    try {
      fchownSync(descriptor, entry.owner.uid, entry.owner.gid);
    } catch {
      // Only root may give files away; everybody else's files stay their own, which is what they need.
    }
  }
  // After the owner, whose change takes special bits away.
  fchmodSync(descriptor, mode);
}

const writeLater = promisify(write);

/** Whether a new file would belong to somebody else than its entry says. */
function needsOwner({ owner }: EntryMetadata): boolean {
  return owner !== undefined && (owner.uid !== ownUid || owner.gid !== ownGid);
}

// Asked once: a call for each of tens of thousands of files is several percent of a restore.
const ownUid = process.geteuid?.();
const ownGid = process.getegid?.();
