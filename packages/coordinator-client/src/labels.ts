import { InvalidLabelsError } from "./errors.ts";
import { printable } from "./printable.ts";

const MAX_LABELS = 32;
const KEY = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{2,64}$/;
const VALUE = /^[a-zA-Z0-9._-]{1,256}$/;

/**
 * Checks the labels that a runner gives itself.
 *
 * @throws {InvalidLabelsError} naming every label that a coordinator would not take
 * @see coordinator-protocol 4.1
 */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  const problems = entries.flatMap(([key, value]) => {
    const name = `"${printable(key)}"`;
    return [
      ...(KEY.test(key)
        ? []
        : [`the key ${name} is not 3 to 65 letters, digits, ".", "_" and "-", or begins with "." or "-"`]),
      ...(VALUE.test(value) ? [] : [`the value of ${name} is not 1 to 256 letters, digits, ".", "_" and "-"`]),
    ];
  });
  if (entries.length > MAX_LABELS)
    problems.unshift(`there are ${entries.length}, but at most ${MAX_LABELS} are allowed`);
  if (problems.length > 0) throw new InvalidLabelsError(problems);
}
