import { randomUUID } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { systemCodeOf } from "./failures.ts";
import type { LocalFileSystem } from "./file-system.ts";

export interface ClaimOptions {
  readonly fileSystem: LocalFileSystem;
  readonly now: () => number;
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs an action while no other process runs one for the same path. The claim is a file that only one can create, which
 * works between hosts, too. Whoever dies with a claim loses it after half a minute; actions are meant to be short.
 */
export async function withClaim<Result>(
  path: string,
  action: () => Promise<Result>,
  options: ClaimOptions,
): Promise<Result> {
  const { fileSystem, signal, sleep } = options;
  const claim = join(dirname(path), `~claim-${basename(path)}`);
  while (!(await tryToClaim(claim, options))) {
    signal?.throwIfAborted();
    await sleep(pollMs, signal);
  }
  try {
    return await action();
  } finally {
    await fileSystem.rm(claim, { force: true });
  }
}

const pollMs = 10;
const abandonedAfterMs = 30_000;

async function tryToClaim(claim: string, { fileSystem, now }: ClaimOptions): Promise<boolean> {
  try {
    await (await fileSystem.open(claim, "wx", 0o600)).close();
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw error;
  }
  try {
    const { mtimeMs } = await fileSystem.stat(claim);
    if (now() - mtimeMs < abandonedAfterMs) return false;
    // Renamed first, so that of several who find it abandoned only one takes it away.
    const abandoned = `${claim}-${randomUUID()}`;
    await fileSystem.rename(claim, abandoned);
    await fileSystem.rm(abandoned, { force: true });
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT") throw error;
  }
  return false;
}
