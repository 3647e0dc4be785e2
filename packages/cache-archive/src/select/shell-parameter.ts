import { compileGlob, matchesText } from "./glob-segment.ts";

/** Whether a parameter of this name is a variable. */
export function isParameterName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/**
 * What `${NAME<operator>word}` gives.
 *
 * `=` gives the word but sets nothing: there is no shell that would keep it.
 *
 * @returns undefined when `?` refuses an unset value
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_06_02
 */
export function applyParameterOperator(operator: string, value: string | undefined, word: string): string | undefined {
  const isMissing = value === undefined || (operator.startsWith(":") && value === "");
  switch (operator.at(-1)) {
    case "-":
    case "=":
      return isMissing ? word : value;
    case "+":
      return isMissing ? "" : word;
    case "?":
      return isMissing ? undefined : value;
    case "#":
      return removePrefix(value ?? "", word, operator === "##");
    default:
      return removeSuffix(value ?? "", word, operator === "%%");
  }
}

function removePrefix(value: string, pattern: string, longest: boolean): string {
  const characters = Array.from(value);
  const lengths = Array.from({ length: characters.length + 1 }, (_, length) => length);
  const match = (longest ? lengths.toReversed() : lengths).find((length) =>
    matches(pattern, characters.slice(0, length).join("")),
  );
  return characters.slice(match ?? 0).join("");
}

function removeSuffix(value: string, pattern: string, longest: boolean): string {
  const characters = Array.from(value);
  const starts = Array.from({ length: characters.length + 1 }, (_, start) => start);
  const match = (longest ? starts : starts.toReversed()).find((start) =>
    matches(pattern, characters.slice(start).join("")),
  );
  return characters.slice(0, match ?? characters.length).join("");
}

/** A pattern that is not one stands for itself. */
function matches(pattern: string, text: string): boolean {
  const glob = compileGlob(pattern);
  return glob === undefined ? pattern === text : matchesText(glob, text);
}
