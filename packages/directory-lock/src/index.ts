export { acquireLock } from "./acquire-lock.ts";
export type { AcquireLockOptions, DirectoryLock } from "./acquire-lock.ts";
export { DirectoryLockError, LockHeldError, NoHardLinksError, UnusableLockError } from "./errors.ts";
export type { FileCalls } from "./file-calls.ts";
