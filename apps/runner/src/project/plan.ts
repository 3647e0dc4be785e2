import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { type Pipeline, type Problem, resolvePipeline } from "@fleetfoot/ci-config";
import { pipelineVariables } from "@fleetfoot/local-coordinator";
import { UsageError } from "../errors.ts";
import type { Git } from "./git.ts";
import type { PipelineOptions } from "./pipeline-options.ts";
import { type PipelineFacts, pipelineFacts } from "./facts.ts";
import type { Project } from "./project.ts";
import { readConfiguration } from "./read-configuration.ts";
import { selectJobs } from "./select.ts";
import { isOutside } from "./state-directory.ts";

/** What would run. */
export interface Plan {
  readonly project: Project;
  readonly facts: PipelineFacts;
  readonly pipeline: Pipeline;
  readonly warnings: readonly Problem[];
}

/**
 * Resolves the configuration of a project into the pipeline that the options ask for.
 *
 * @throws {UsageError} there is no configuration, it has errors, or its rules want no pipeline
 */
export async function planPipeline(
  options: PipelineOptions,
  project: Project,
  git: Git,
  signal: AbortSignal,
): Promise<Plan> {
  const facts = pipelineFacts(project, options);
  const variables = Object.fromEntries(
    [...pipelineVariables(facts), ...options.variables].map(({ key, value }) => [key, value]),
  );
  const resolution = await resolvePipeline({
    file: options.file,
    readFile: (path) => readConfiguration(join(options.directory, path), signal),
    listFiles: () => (project.top === undefined ? listAllFiles(options) : listFiles(git)),
    variables,
    jobNames: options.jobNames,
    signal,
  });
  if (resolution.errors.length > 0) {
    const hint = await hintAtTop(options, project, signal);
    throw new UsageError(describeProblems(resolution.errors), { cure: `${hint}Nothing was run.` });
  }
  if (resolution.pipeline === undefined) {
    throw new UsageError(`No pipeline: ${resolution.refused ?? "the configuration gives no jobs"}.`, {
      cure: "Try another --source, other variables, or name the jobs to run.",
    });
  }
  const pipeline = selectJobs(resolution.pipeline, options.jobNames, options.withNeeds);
  return { project, facts, pipeline, warnings: resolution.warnings };
}

/** `file:line: text`, one per line. */
export function describeProblems(problems: readonly Problem[]): string {
  return problems.map(({ file, line, message }) => `${file}:${line}: ${message}`).join("\n");
}

async function listFiles(git: Git): Promise<readonly string[]> {
  const output = await git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
  return output.split("\0").filter((path) => path !== "");
}

/** Outside of a repository nothing says what is to be left out, but the state of earlier runs is no part of the project. */
async function listAllFiles({ directory, stateDirectory }: PipelineOptions): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && isOutside(relative(stateDirectory, entry.parentPath)))
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}

/** Somebody in a subfolder of a repository usually means the pipeline of the whole. */
async function hintAtTop(options: PipelineOptions, project: Project, signal: AbortSignal): Promise<string> {
  const { directory, file } = options;
  const { top } = project;
  if (top === undefined || top === directory) return "";
  if ((await readConfiguration(join(directory, file), signal)) !== undefined) return "";
  if ((await readConfiguration(join(top, file), signal)) === undefined) return "";
  return `The top of the repository has a ${file}: try fleetfoot exec -C ${relative(directory, top)}\n`;
}
