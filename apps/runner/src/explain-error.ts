import { inspect } from "node:util";
import { UsageError } from "./errors.ts";

const REPORT_ADDRESS = "https://github.com/fleetfoot/fleetfoot/issues";

/** What a failed command prints: what went wrong and what to do about it, each in a sentence, with a line feed at the end. */
export function explainError(error: unknown): string {
  if (error instanceof UsageError) return sentences(error.message, error.cure);
  if (!(error instanceof Error)) return reportable(inspect(error));
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const failure = code === undefined ? undefined : SYSTEM_FAILURES[code];
  if (failure !== undefined) {
    const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
    return sentences(path === undefined ? error.message : `${path}: ${failure.text} (${code}).`, failure.cure);
  }
  // The errors of our packages say this of themselves, and are written for people; so is what git says.
  const isForPeople = "retryable" in error || error.name === "GitError";
  return isForPeople ? sentences(error.message) : reportable(error.stack ?? error.message);
}

interface SystemFailure {
  readonly text: string;
  readonly cure: string;
}

const SPACE_CURE =
  "Make room, for example by deleting what .fleetfoot holds, or keep it on another disk with --state-dir.";
const RIGHTS_CURE = "Give your user the right to it, or name another place.";

/** @see https://man7.org/linux/man-pages/man3/errno.3.html */
const SYSTEM_FAILURES: Readonly<Record<string, SystemFailure>> = {
  EACCES: { text: "permission denied", cure: RIGHTS_CURE },
  EPERM: { text: "operation not permitted", cure: RIGHTS_CURE },
  EROFS: { text: "the file system is read-only", cure: "Name a place that can be written." },
  ENOSPC: { text: "no space left on the disk", cure: SPACE_CURE },
  EDQUOT: { text: "your share of the disk is used up", cure: SPACE_CURE },
  EEXIST: { text: "there is a file of this name already", cure: "Move it away, or name another place." },
  ENOTDIR: {
    text: "a part of the path is no folder",
    cure: "Move the file that is in the way, or name another place.",
  },
  EISDIR: { text: "this is a folder, not a file", cure: "Name a file, or move the folder away." },
  ELOOP: { text: "the symbolic links go in a circle", cure: "Remove one of them, or name another place." },
  ENAMETOOLONG: { text: "the name is too long", cure: "Name a place with a shorter path." },
  EMFILE: { text: "too many files are open", cure: "Raise the limit with ulimit -n." },
};

function sentences(message: string, cure?: string): string {
  return `${message}\n${cure === undefined ? "" : `${cure}\n`}`;
}

function reportable(details: string): string {
  return `${details}\nThis is a fault of fleetfoot. Please report it with the lines above at ${REPORT_ADDRESS}\n`;
}
