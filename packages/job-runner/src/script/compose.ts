import { commandLine } from "@fleetfoot/job-trace";

import { isExportable } from "../variables/exported-limits.ts";
import { quote } from "./quote.ts";

/** One script for an executor's shell. */
export interface ScriptParts {
  readonly shell: "bash" | "sh";
  /** Exported in this order before anything else. */
  readonly variables: Iterable<readonly [name: string, value: string]>;
  /** File of `NAME=value` lines that earlier scripts of the job may have written. */
  readonly environmentFile: string;
  /** Where the lines run. */
  readonly directory: string;
  /** The job's commands; one entry may have several lines. */
  readonly commands: readonly string[];
  /** Whether the shell prints everything it does. @default false */
  readonly debugTrace?: boolean;
  /** Whether the exit code is looked at after every command, whatever the commands do to errexit. @default false */
  readonly checkEachCommand?: boolean;
}

/**
 * Writes the text that a shell reads from its standard input.
 *
 * The whole body is one quoted word, evaluated in a subshell without input: a command that reads its input would otherwise
 * eat the rest of the script. Traps do not survive into a subshell, so TERM is trapped twice; without the trap some shells
 * print the script, secrets included, when they are killed.
 *
 * @see job-execution 1.11
 */
export function composeScript(parts: ScriptParts): string {
  const body = [
    ON_TERM,
    ...exports(parts.variables),
    readEnvironmentFile(parts.environmentFile),
    `cd ${quote(parts.directory)}`,
  ];
  for (const command of parts.commands) body.push(...echoed(command, parts.checkEachCommand === true));
  return [
    `#!/usr/bin/env ${parts.shell}`,
    ON_TERM,
    ...(parts.debugTrace === true ? ["set -o xtrace"] : []),
    parts.shell === "bash" ? "set -o pipefail" : PIPEFAIL_IF_THERE,
    "set -o errexit",
    "set +o noclobber",
    `(eval ${quote(`${body.join("\n")}\n`)}) </dev/null`,
    "exit 0",
    "",
  ].join("\n");
}

const ON_TERM = "trap 'exit 1' TERM";

/** Tried in a subshell, since a shell that does not know an option ends. */
const PIPEFAIL_IF_THERE = "if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi";

function* exports(variables: ScriptParts["variables"]): Generator<string> {
  for (const [name, value] of variables) {
    if (isExportable(name)) yield `export ${name}=${quote(value)}`;
  }
}

/** Line by line, and only what is an assignment: the values are not code. */
function readEnvironmentFile(path: string): string {
  const file = quote(path);
  return [
    `if [ -r ${file} ]; then while IFS= read -r _fleetfoot_line || [ -n "$_fleetfoot_line" ]; do`,
    `case "\${_fleetfoot_line%%=*}" in "$_fleetfoot_line"|''|[0-9]*|*[!A-Za-z0-9_]*) ;; *) export "$_fleetfoot_line";; esac`,
    `done <${file}; unset _fleetfoot_line; fi`,
  ].join("\n");
}

function* echoed(command: string, check: boolean): Generator<string> {
  const text = command.trim();
  if (text === "") {
    yield "echo";
    return;
  }
  yield `printf %s ${quote(commandLine(text))}`;
  yield text;
  if (check) yield CHECK;
}

const CHECK = '_fleetfoot_code=$?; if [ "$_fleetfoot_code" -ne 0 ]; then exit "$_fleetfoot_code"; fi';
