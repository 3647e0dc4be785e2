import { createHash } from "node:crypto";
import { findFile, refuseIfHeld } from "./holder.ts";
import type { FoundFile, HolderOptions } from "./holder.ts";
import { nameOfRight } from "./own-file.ts";
import type { OwnFile } from "./own-file.ts";

/**
 * Gives an own file the name of the lock.
 *
 * @param dead - what was found in its place, of whom it is known that he is dead: nobody is waited for twice
 * @throws {LockHeldError | UnusableLockError}
 */
export async function take(own: OwnFile, dead: FoundFile | undefined, options: HolderOptions): Promise<void> {
  const { lockPath: path } = options;
  for (;;) {
    options.signal?.throwIfAborted();
    if (await own.linkTo(path)) return;
    const found = await findFile(path, options.calls);
    if (found === undefined) continue;
    if (found.identity !== dead?.identity) await refuseIfHeld(path, found, options);
    if (await takenOver(own, found, options)) return;
  }
}

/**
 * Who looked earlier and acts later would replace the file of the quicker one. So whoever wants to replace a dead process's file needs the right
 * to do that, which is a name that one file at a time can have. The name says which file is to be replaced; that one never comes back, so a right
 * that outlasts it, or is had anew after it was used, is of no use to anybody. Who dies with the right leaves it lying there, and the right to act
 * in its place has a name of its own again. Nothing of a dead process is ever removed to make way.
 */
async function takenOver(own: OwnFile, dead: FoundFile, options: HolderOptions): Promise<boolean> {
  const { lockPath: path } = options;
  let key = keyOf(dead.identity);
  for (;;) {
    if (await own.linkTo(nameOfRight(path, key))) break;
    const other = await findFile(nameOfRight(path, key), options.calls);
    if (other === undefined) return false;
    await refuseIfHeld(nameOfRight(path, key), other, options);
    key = keyOf(`${key} ${other.identity}`);
  }
  const right = nameOfRight(path, key);
  let isDead = false;
  try {
    isDead = (await findFile(path, options.calls))?.identity === dead.identity;
  } finally {
    if (!isDead) await own.removeName(right);
  }
  if (isDead) await own.rename(right, path);
  return isDead;
}

function keyOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
