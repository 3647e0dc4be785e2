import { parseInvocation } from "./arguments.ts";
import type { Command } from "./command.ts";
import { commands } from "./commands.ts";
import { StopReason, type CliContext } from "./context.ts";
import { UsageError } from "./errors.ts";
import { explainError } from "./explain-error.ts";
import { commandHelp, mainCommands, overview } from "./help.ts";
import { version } from "./version.ts";

/**
 * Runs one command line.
 *
 * @param words - the words after `fleetfoot`
 * @returns the exit code: 0 when all went well, 1 otherwise
 */
export async function runCli(words: readonly string[], context: CliContext): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    context.stdout.write(overview(commands));
    return name === undefined ? 1 : 0;
  }
  if (name === "--version" || name === "-v") {
    context.stdout.write(`fleetfoot ${version}\n`);
    return 0;
  }
  const meant = name === "help" ? rest : words;
  const command = findCommand(meant);
  if (command === undefined) return explain(context, unknownCommand(meant[0] ?? ""));
  if (name === "help" || asksForHelp(rest)) {
    context.stdout.write(commandHelp(command));
    return 0;
  }
  return runCommand(command, words.slice(command.name.split(" ").length), context);
}

/** The command of a group has two words, and goes before the group itself. */
function findCommand([first = "", second = ""]: readonly string[]): Command | undefined {
  return (
    commands.find((candidate) => candidate.name === `${first} ${second}`) ??
    commands.find((candidate) => candidate.name === first)
  );
}

async function runCommand(command: Command, words: readonly string[], context: CliContext): Promise<number> {
  try {
    const invocation = parseInvocation(command, words, context.environment);
    const action = await command.load();
    return await action(invocation, context);
  } catch (error) {
    if (error instanceof StopReason)
      return explain(context, new UsageError(`fleetfoot ${command.name}: ${error.message}.`));
    return explain(context, error);
  }
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return (end === -1 ? words : words.slice(0, end)).some((word) => word === "--help" || word === "-h");
}

function explain(context: CliContext, error: unknown): number {
  context.stderr.write(explainError(error));
  return 1;
}

function unknownCommand(name: string): UsageError {
  return new UsageError(`fleetfoot has no command "${name}".`, {
    cure: `It has: ${mainCommands(commands)
      .map((command) => command.name)
      .join(", ")}. fleetfoot --help explains them.`,
  });
}
