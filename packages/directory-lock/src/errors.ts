const marker: unique symbol = Symbol.for("@fleetfoot/directory-lock/DirectoryLockError");

/** Base of every error that this package throws by itself. */
export abstract class DirectoryLockError extends Error {
  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Whether the same call may succeed later without a change on this side. */
  abstract readonly retryable: boolean;
  /** Where the file of the lock is, or should be. */
  readonly path: string;

  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
  }

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is DirectoryLockError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

/** A living process has the lock. */
export class LockHeldError extends DirectoryLockError {
  override readonly name = "LockHeldError";
  override readonly code = "lock-held";
  override readonly retryable = true;
  /** The process that has it, by the number that it has where it runs. */
  readonly processId: number;
  /** Whether it runs in another container, or on another machine, where its number means another process. */
  readonly isElsewhere: boolean;

  constructor(path: string, processId: number, isElsewhere: boolean) {
    super(path, `${path} is held by ${nameOf(processId, isElsewhere)}`);
    this.processId = processId;
    this.isElsewhere = isElsewhere;
  }

  /** Names the process for people: `process 12`, `process 1 of another container or machine`. */
  get holder(): string {
    return nameOf(this.processId, this.isElsewhere);
  }
}

/** There is something else in the place of the lock's file, or there can be no lock at all: {@link NoHardLinksError}. */
export class UnusableLockError extends DirectoryLockError {
  override readonly name: string = "UnusableLockError";
  override readonly code: string = "lock-unusable";
  override readonly retryable = false;
  /** What to do about it, a sentence. */
  readonly cure: string = "Remove the folder, or use another place.";

  constructor(
    path: string,
    message: string = `${path} is a folder, where the file of a lock belongs.`,
    options?: ErrorOptions,
  ) {
    super(path, message, options);
  }
}

/** A file system without hard links, such as FAT: nothing else gives a name to a whole file and to one process alone. */
export class NoHardLinksError extends UnusableLockError {
  override readonly name = "NoHardLinksError";
  override readonly code = "no-hard-links";
  override readonly cure: string = "Use a place on a file system that has them, such as ext4, XFS, Btrfs or NFS.";

  /** @param errno - how the system said so */
  constructor(path: string, errno: string, options?: ErrorOptions) {
    super(path, `${path} cannot be locked, since its file system has no hard links (${errno}).`, options);
  }
}

function nameOf(processId: number, isElsewhere: boolean): string {
  return `process ${processId}${isElsewhere ? " of another container or machine" : ""}`;
}
