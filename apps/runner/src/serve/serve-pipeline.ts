import type { LocalCoordinator, PipelineResult, PipelineRun } from "@fleetfoot/local-coordinator";
import type { CliContext } from "../context.ts";
import { pipelineFacts } from "../project/facts.ts";
import type { Git } from "../project/git.ts";
import { describeProblems, planPipeline } from "../project/plan.ts";
import { createProgress } from "../console/progress.ts";
import { readProject } from "../project/project.ts";
import { secretWarnings } from "../project/secret-warnings.ts";
import { takeSnapshot } from "../project/snapshot.ts";
import { printPlaces, printSummary } from "../console/summary.ts";
import { UsageError } from "../errors.ts";
import { explainError } from "../explain-error.ts";
import { instructions } from "./instructions.ts";
import { type ServedCoordinator, openCoordinator } from "./open-coordinator.ts";
import type { ServeOptions } from "./options.ts";
import { waitForStop } from "./wait-for-stop.ts";
import { WithoutTimestamps } from "./without-timestamps.ts";

const TICK_MS = 250;

/** What is known of a pipeline when it ends. */
interface Served {
  readonly run: PipelineRun;
  readonly hasUncommittedChanges: boolean;
  readonly warningCount: number;
}

/**
 * Serves the pipeline of a project to runners, until it has ended or the process is told to.
 *
 * @returns the exit code: 0 when the pipeline passed
 */
export async function servePipeline(parts: {
  readonly options: ServeOptions;
  readonly git: Git;
  readonly context: CliContext;
}): Promise<number> {
  const { options, git, context } = parts;
  const { path: projectPath } = await readProject(options.directory, git);
  const served = await openCoordinator(options, { projectPath, git, context });
  const { coordinator } = served;
  const stopped = waitForStop(context.stop, coordinator, () => {
    coordinator.stopHandingOut();
    context.stderr.write("Stopping: running jobs are finished, no further one is handed out.\n");
  });
  const endShowing = showRunners(coordinator, context);
  try {
    refuseAnother(coordinator, options);
    context.stdout.write(instructions(served.url, served.tokens));
    let code = 1;
    let next: Served | undefined = goOn(coordinator, options, context) ?? (await begin(served, parts));
    for (;;) {
      if (next !== undefined) {
        const result = await watch(coordinator, next, { options, context, stopped: stopped.promise });
        if (result === undefined) {
          context.stderr.write(`Pipeline ${next.run.id} has not ended. The same command goes on with it.\n`);
          return 1;
        }
        code = result.status === "success" || result.status === "manual" ? 0 : 1;
      }
      if (!options.keep) return code;
      context.stdout.write("Waiting: SIGHUP runs the pipeline of the files as they are then, SIGINT ends.\n");
      if ((await Promise.race([stopped.promise, stopped.reload()])) === "stopped") return code;
      next = await beginAgain(served, parts);
    }
  } finally {
    stopped.end();
    endShowing();
    await coordinator.close();
  }
}

/** @throws {UsageError} an earlier process did not end its pipeline, and one of another configuration was asked for */
function refuseAnother(coordinator: LocalCoordinator, options: ServeOptions): void {
  const run = coordinator.pipelines.findLast(({ status }) => status === "running");
  if (run === undefined || options.startOver || !options.namesPipeline || options.file === run.configPath) return;
  throw new UsageError(
    `Pipeline ${run.id}, of ${run.configPath}, has not ended, so ${options.file} cannot be started.`,
    {
      cure: "Add --new to cancel it and start over, or leave --pipeline out to go on with it.",
    },
  );
}

/** The pipeline that an earlier process did not end. */
function goOn(coordinator: LocalCoordinator, options: ServeOptions, context: CliContext): Served | undefined {
  const open = coordinator.pipelines.filter((run) => run.status === "running");
  const run = open.at(-1);
  if (run === undefined) return undefined;
  if (options.startOver) {
    for (const pipeline of open) pipeline.cancel({ force: true });
    return undefined;
  }
  context.stdout.write(`Going on with pipeline ${run.id}, as it was started. --new starts over.\n`);
  return { run, hasUncommittedChanges: false, warningCount: run.warnings.length };
}

async function begin(
  { coordinator, repositoryUrl }: ServedCoordinator,
  parts: { readonly options: ServeOptions; readonly git: Git; readonly context: CliContext },
): Promise<Served> {
  const { options, git, context } = parts;
  const { stderr, stop } = context;
  const plan = await planPipeline(options, await readProject(options.directory, git), git, stop.forced);
  const { warnings } = plan;
  if (warnings.length > 0) stderr.write(`${describeProblems(warnings)}\n`);
  const names = [...plan.pipeline.jobs.map((job) => job.name), plan.facts.commit.ref];
  for (const warning of secretWarnings(options.variables, names)) stderr.write(`WARNING: ${warning}\n`);
  const { stateDirectory, committedOnly } = options;
  const snapshot = await takeSnapshot({ project: plan.project, stateDirectory, committedOnly, git });
  for (const warning of snapshot.warnings) stderr.write(`WARNING: ${warning}\n`);
  const run = coordinator.startPipeline({
    pipeline: plan.pipeline,
    ...pipelineFacts(plan.project, options, snapshot.sha),
    repositoryUrl,
    variables: options.variables,
    play: options.jobNames,
    ignoreDelays: true,
    ignoreTags: !options.matchTags,
    cache: { separateCaches: options.separateCaches },
  });
  await coordinator.flush();
  return {
    run,
    hasUncommittedChanges: snapshot.hasUncommittedChanges,
    warningCount: warnings.length + snapshot.warnings.length,
  };
}

/** A configuration that became wrong in the meantime ends nothing. */
async function beginAgain(served: ServedCoordinator, parts: Parameters<typeof begin>[1]): Promise<Served | undefined> {
  try {
    return await begin(served, parts);
  } catch (error) {
    parts.context.stop.forced.throwIfAborted();
    parts.context.stderr.write(explainError(error));
    return undefined;
  }
}

/** Shows a pipeline until it ends; undefined when the process was told to stop before. */
async function watch(
  coordinator: LocalCoordinator,
  { run, hasUncommittedChanges, warningCount }: Served,
  parts: { readonly options: ServeOptions; readonly context: CliContext; readonly stopped: Promise<"stopped"> },
): Promise<PipelineResult | undefined> {
  const { options, context } = parts;
  const output = context.stdout;
  const jobNames = run.jobs.map((job) => job.name);
  const progress = createProgress({ output, jobNames, quiet: options.quiet, now: Date.now });
  for (const job of run.jobs) progress.show({ kind: "job-state", job, previous: undefined });
  const logs = new Map<number, WithoutTimestamps>();
  const endProgress = coordinator.subscribe((event) => {
    if (event.kind !== "trace") return progress.show(event);
    const log = logs.get(event.jobId) ?? new WithoutTimestamps();
    logs.set(event.jobId, log);
    return progress.show({ ...event, bytes: log.add(event.bytes) });
  });
  const ticker = setInterval(progress.tick, TICK_MS);
  try {
    const result = await Promise.race([run.finished, parts.stopped]);
    progress.close();
    if (result === "stopped") return undefined;
    printSummary({ result, hasUncommittedChanges, warningCount, output });
    output.write("Logs and artifacts:\n");
    printPlaces(result, context.workingDirectory, output);
    return result;
  } finally {
    clearInterval(ticker);
    endProgress();
    progress.close();
  }
}

/** Says which runners come and go; returns a function that ends it. */
function showRunners(coordinator: LocalCoordinator, { stdout }: CliContext): () => void {
  const words = { added: "was registered", "machine-added": "has a machine", removed: "was unregistered" } as const;
  return coordinator.subscribe((event) => {
    if (event.kind !== "runner") return;
    const { id, description, systemIds } = event.runner;
    const machines = event.change === "machine-added" ? `: ${systemIds.at(-1)}` : "";
    stdout.write(`Runner ${id} (${description}) ${words[event.change]}${machines}.\n`);
  });
}
