import { parseArgs } from "node:util";
import type { Command, Invocation, OptionTable } from "./command.ts";
import { UsageError } from "./errors.ts";

const TRUE_WORDS = new Set(["1", "t", "true", "yes"]);

/**
 * Reads the words after a command's name.
 *
 * An option that is absent takes the value of its environment variable, where commas divide the values of one that may be repeated.
 * `--flag=true` works like `--flag`.
 *
 * @throws {UsageError} an unknown option, a missing value, or a word where the command takes none
 */
export function parseInvocation(
  command: Command,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Invocation {
  const { values, positionals } = parseWords(command, words);
  if (positionals.length > 0 && command.operands === "") {
    throw new UsageError(`fleetfoot ${command.name} takes no "${positionals[0]}".`, { cure: helpHint(command) });
  }
  const valuesOf = (name: string): readonly (string | boolean)[] => {
    const given = values[name];
    if (given !== undefined) return Array.isArray(given) ? given : [given];
    const { variable, multiple } = command.options[name] ?? {};
    const inherited = variable === undefined ? undefined : environment[variable];
    if (inherited === undefined || inherited === "") return [];
    return multiple === true ? inherited.split(",").map((value) => value.trim()) : [inherited];
  };
  return {
    operands: positionals,
    flag: (name) => valuesOf(name).some((value) => value === true || TRUE_WORDS.has(String(value).toLowerCase())),
    text: (name) => valuesOf(name).map(String).at(-1),
    texts: (name) => valuesOf(name).map(String),
    isGiven: (name) => values[name] !== undefined,
  };
}

function parseWords(command: Command, words: readonly string[]): ParsedWords {
  try {
    return parseArgs({
      args: words.map((word) => withoutExplicitTrue(word, command.options)),
      options: Object.fromEntries(
        Object.entries(command.options).map(([name, { type, short, multiple = false }]) => [
          name,
          { type, multiple, ...(short === undefined ? {} : { short }) },
        ]),
      ),
      allowPositionals: true,
      allowNegative: true,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message.split(". To specify")[0] : String(error);
    throw new UsageError(`fleetfoot ${command.name}: ${message}`, { cure: helpHint(command), cause: error });
  }
}

interface ParsedWords {
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
}

/** The platform's parser knows `--flag` and `--no-flag`; the reference's users also write `--flag=true`. */
function withoutExplicitTrue(word: string, options: OptionTable): string {
  const match = /^--([^=]+)=(true|false)$/.exec(word);
  if (match === null || options[match[1] ?? ""]?.type !== "boolean") return word;
  return match[2] === "true" ? `--${match[1]}` : `--no-${match[1]}`;
}

function helpHint(command: Command): string {
  return `fleetfoot ${command.name} --help lists what it takes.`;
}
