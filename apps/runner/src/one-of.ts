import { UsageError } from "./errors.ts";

/**
 * Takes one of several words for the value of an option.
 *
 * @throws {UsageError} it is none of them
 */
export function oneOf(what: string, wanted: string, choices: readonly string[]): string {
  if (choices.includes(wanted)) return wanted;
  throw new UsageError(`--${what} ${wanted} is not known.`, { cure: `It is one of ${choices.join(", ")}.` });
}
