import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireLock, LockHeldError } from "@fleetfoot/directory-lock";

const directory = await mkdtemp(join(tmpdir(), "example-"));
const lock = await acquireLock(join(directory, "lock"));
console.log("the directory is ours");
try {
  await acquireLock(join(directory, "lock"));
} catch (error) {
  if (!(error instanceof LockHeldError)) throw error;
  console.log(`a second one is refused: ${error.code}, held by ourselves: ${error.processId === process.pid}`);
}
await lock.release();
await (await acquireLock(join(directory, "lock"))).release();
console.log("and free again");
await rm(directory, { recursive: true });
