import { parseArgs } from "node:util";
import { StateDirectoryError } from "@fleetfoot/state-directory";
import type { Command, Invocation } from "./command.ts";
import { commands } from "./commands.ts";
import type { CliContext } from "./context.ts";
import { UsageError } from "./errors.ts";
import { version } from "./version.ts";

/**
 * Runs one command line.
 *
 * @param words - the words after `fleetfoot-mirror`
 * @returns the exit code: 0 when all went well, 1 otherwise
 */
export async function runCli(words: readonly string[], context: CliContext): Promise<number> {
  const [name, ...rest] = words;
  if (name === "--version") {
    context.stdout.write(`fleetfoot-mirror ${version}\n`);
    return 0;
  }
  const isHelp = name === "--help" || name === "-h" || name === "help";
  const command = commands.find((candidate) => candidate.name === (name === "help" ? rest[0] : name));
  if (command === undefined) {
    if (!isHelp && name !== undefined)
      context.stderr.write(`fleetfoot-mirror has no command ${JSON.stringify(name)}.\n\n`);
    (isHelp ? context.stdout : context.stderr).write(overview());
    return isHelp ? 0 : 1;
  }
  if (isHelp || rest.includes("--help") || rest.includes("-h")) {
    context.stdout.write(commandHelp(command));
    return 0;
  }
  try {
    const invocation = parseInvocation(command, rest);
    const action = await command.load();
    return await action(invocation, context);
  } catch (error) {
    if (!(error instanceof UsageError || isOfTheSystem(error))) throw error;
    context.stderr.write(`fleetfoot-mirror ${command.name}: ${error.message}\n`);
    return 1;
  }
}

/** What files and directories are not as they should be is nothing that a stack would explain. */
function isOfTheSystem(error: unknown): error is Error {
  return StateDirectoryError.isInstance(error) || (error instanceof Error && "syscall" in error && "path" in error);
}

function parseInvocation(command: Command, words: readonly string[]): Invocation {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { multiple = false, type }]) => [name, { type, multiple }]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...words], options, allowPositionals: command.operands !== "" });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(". To specify")[0] : String(error);
    throw new UsageError(`${reason}. --help lists what it takes.`, { cause: error });
  }
  const { positionals, values } = parsed;
  return {
    operands: positionals,
    flag: (name) => values[name] === true,
    text: (name) => {
      const value = values[name];
      return typeof value === "string" ? value : undefined;
    },
    texts: (name) => {
      const value = values[name];
      return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
    },
  };
}

function overview(): string {
  return [
    "Runs a pull-through mirror of container registries, and points engines at it.",
    "",
    "Usage: fleetfoot-mirror <command> [options]",
    "",
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    "",
    "fleetfoot-mirror <command> --help explains one command.",
    "",
  ].join("\n");
}

function commandHelp({ choices, examples, name, operands, options, summary }: Command): string {
  const rows = Object.entries(options).map(([option, { help, multiple, value }]): [string, string] => [
    `--${option}${value === undefined ? "" : ` ${value}`}`,
    multiple === true ? `${help} (may be repeated)` : help,
  ]);
  const usage = ["fleetfoot-mirror", name, "[options]", operands].filter((word) => word !== "").join(" ");
  const shown = examples.map((line) => `  ${line}`);
  const listed = choices === undefined ? [] : [...columns(choices), ""];
  return [`Usage: ${usage}`, "", `${summary}.`, "", ...listed, ...columns(rows), "", "Examples:", ...shown, ""].join(
    "\n",
  );
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
