import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { GivenVariable } from "@fleetfoot/local-coordinator";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { checkStateDirectory, DEFAULT_STATE_DIRECTORY } from "./state-directory.ts";

/** What the user wants of a local run. */
export interface ExecOptions {
  /** Absolute path of the project. */
  readonly directory: string;
  /** Configuration, relative to the project. */
  readonly file: string;
  /** Absolute path of the folder for everything that is kept. */
  readonly stateDirectory: string;
  /** Empty: all jobs. */
  readonly jobNames: readonly string[];
  readonly withNeeds: boolean;
  readonly variables: readonly GivenVariable[];
  /** `CI_PIPELINE_SOURCE`. */
  readonly source: string;
  readonly concurrency: number;
  readonly committedOnly: boolean;
  /** Undefined: only the default branch. */
  readonly protectedBranches: readonly string[] | undefined;
  readonly separateCaches: boolean;
  readonly shell: "bash" | "sh";
  /** Where scripts run. */
  readonly executor: "docker" | "shell";
  /** Image of jobs that name none, for containers. */
  readonly image: string | undefined;
  readonly quiet: boolean;
}

const SOURCES = ["push", "merge_request_event", "schedule", "web", "api"];
/** Jobs wait for the disk, the network and their own processes, so more of them than processors keep a small machine busy. */
const LEAST_CONCURRENCY = 4;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Reads the options of `fleetfoot exec`.
 *
 * @throws {UsageError} a value that cannot be meant
 */
export function readExecOptions(invocation: Invocation, context: CliContext): ExecOptions {
  const directory = resolve(context.workingDirectory, invocation.text("directory") ?? ".");
  const protectedBranches = invocation.texts("protected");
  if (invocation.flag("json") && !invocation.flag("list"))
    throw new UsageError("--json goes with --list.", { cure: "Write fleetfoot exec --list --json." });
  return {
    directory,
    file: invocation.text("file") ?? ".gitlab-ci.yml",
    stateDirectory: readStateDirectory(invocation.text("state-dir") ?? DEFAULT_STATE_DIRECTORY, directory),
    jobNames: invocation.operands,
    withNeeds: invocation.flag("needs"),
    variables: [
      ...invocation.texts("variable").map(readVariable),
      ...invocation.texts("secret").map((text) => readSecret(text, context.environment)),
    ],
    source: oneOf("source", invocation.text("source") ?? "push", SOURCES),
    concurrency: readConcurrency(invocation.text("concurrency")),
    committedOnly: invocation.flag("committed"),
    protectedBranches: protectedBranches.length > 0 ? protectedBranches : undefined,
    separateCaches: invocation.texts("separate-caches").at(-1) !== "false",
    shell: oneOf("shell", invocation.text("shell") ?? "bash", ["bash", "sh"]) === "sh" ? "sh" : "bash",
    executor:
      oneOf("executor", invocation.text("executor") ?? "shell", ["shell", "docker"]) === "docker" ? "docker" : "shell",
    image: invocation.text("image"),
    quiet: invocation.flag("quiet"),
  };
}

function readStateDirectory(given: string, directory: string): string {
  const stateDirectory = resolve(directory, given);
  checkStateDirectory(given, stateDirectory, directory);
  return stateDirectory;
}

function readVariable(text: string): GivenVariable {
  const { key, value } = splitPair(text);
  if (value === undefined)
    throw new UsageError(`--variable ${text} has no value.`, { cure: "Write --variable KEY=VALUE." });
  return { key, value };
}

function readSecret(text: string, environment: Readonly<Record<string, string>>): GivenVariable {
  const { key, value = environment[key] } = splitPair(text);
  if (value === undefined) {
    throw new UsageError(`--secret ${key}: the environment has no variable ${key}.`, {
      cure: `Set it, for example with "export ${key}=...", or write --secret ${key}=VALUE.`,
    });
  }
  return { key, value, masked: true, raw: true };
}

function splitPair(text: string): { readonly key: string; readonly value: string | undefined } {
  const end = text.indexOf("=");
  const key = end === -1 ? text : text.slice(0, end);
  // The text may hold a secret; only its name may be shown.
  if (!NAME.test(key))
    throw new UsageError(`"${key}" is no name of a variable.`, { cure: "Names are letters, digits and _." });
  return { key, value: end === -1 ? undefined : text.slice(end + 1) };
}

function readConcurrency(text: string | undefined): number {
  if (text === undefined) return Math.max(LEAST_CONCURRENCY, availableParallelism());
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new UsageError(`--concurrency ${text} is no number of jobs.`, { cure: "Give a whole number of 1 or more." });
}

function oneOf(what: string, wanted: string, choices: readonly string[]): string {
  if (choices.includes(wanted)) return wanted;
  throw new UsageError(`--${what} ${wanted} is not known.`, { cure: `It is one of ${choices.join(", ")}.` });
}
