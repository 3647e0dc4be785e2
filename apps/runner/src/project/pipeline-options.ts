import { resolve } from "node:path";
import type { GivenVariable } from "@fleetfoot/local-coordinator";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { oneOf } from "../one-of.ts";
import { checkStateDirectory } from "./state-directory.ts";

/** Which pipeline of a project is meant, and what it is told. */
export interface PipelineOptions {
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
  readonly committedOnly: boolean;
  /** Undefined: only the default branch. */
  readonly protectedBranches: readonly string[] | undefined;
  readonly separateCaches: boolean;
  readonly quiet: boolean;
}

const SOURCES = ["push", "merge_request_event", "schedule", "web", "api"];
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Reads the options that commands about pipelines have in common.
 *
 * @param names.fileOption - the option that names the configuration
 * @param names.stateDirectory - where everything is kept unless another folder is named
 * @throws {UsageError} a value that cannot be meant
 */
export function readPipelineOptions(
  invocation: Invocation,
  context: CliContext,
  names: { readonly fileOption: string; readonly stateDirectory: string },
): PipelineOptions {
  const directory = resolve(context.workingDirectory, invocation.text("directory") ?? ".");
  const protectedBranches = invocation.texts("protected");
  return {
    directory,
    file: invocation.text(names.fileOption) ?? ".gitlab-ci.yml",
    stateDirectory: readStateDirectory(invocation.text("state-dir") ?? names.stateDirectory, directory),
    jobNames: invocation.operands,
    withNeeds: invocation.flag("needs"),
    variables: [
      ...invocation.texts("variable").map(readVariable),
      ...invocation.texts("secret").map((text) => readSecret(text, context.environment)),
    ],
    source: oneOf("source", invocation.text("source") ?? "push", SOURCES),
    committedOnly: invocation.flag("committed"),
    protectedBranches: protectedBranches.length > 0 ? protectedBranches : undefined,
    separateCaches: invocation.texts("separate-caches").at(-1) !== "false",
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
