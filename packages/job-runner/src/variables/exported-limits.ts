import { JobConfigurationError } from "../errors.ts";
import type { JobVariables } from "./job-variables.ts";

/** Linux gives a new process no longer string than this, its end included. @see https://man7.org/linux/man-pages/man2/execve.2.html */
const MOST_BYTES = 128 * 1024;

/**
 * What makes it impossible to start any program with these variables. With one that is too long each command would fail with
 * "Argument list too long", which names none.
 *
 * @param platform - as `process.platform` spells it; only Linux limits single variables
 */
export function lengthProblem(
  { exported }: Pick<JobVariables, "exported">,
  platform: string = process.platform,
): JobConfigurationError | undefined {
  if (platform !== "linux") return undefined;
  for (const [name, value] of exported) {
    const bytes = Buffer.byteLength(name) + Buffer.byteLength(value) + "=\0".length;
    if (bytes <= MOST_BYTES) continue;
    return new JobConfigurationError(
      `the variable ${JSON.stringify(name)} is too long for an environment: with its name it has ${bytes} bytes, and ${MOST_BYTES} is the limit; make it a variable of type file, or shorten it`,
    );
  }
  return undefined;
}

/** Whether a shell can have a variable of this name. */
export function isExportable(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/** A line about the variables that scripts do not get, if there are any. */
export function nameWarning({ exported }: Pick<JobVariables, "exported">): string | undefined {
  const names = [...exported.keys()].filter((name) => !isExportable(name));
  if (names.length === 0) return undefined;
  const shown = names.slice(0, MOST_NAMES).map((name) => JSON.stringify(name));
  const more = names.length - shown.length;
  return `scripts do not get ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}: the name of a variable has only letters, digits and _, and does not begin with a digit`;
}

const MOST_NAMES = 10;
