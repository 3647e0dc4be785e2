import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createCoordinatorClient, noopLogger, Secret, startPolling } from "@fleetfoot/coordinator-client";
import { JobInterrupted, runJob } from "@fleetfoot/job-runner";
import { createLocalCoordinator } from "@fleetfoot/local-coordinator";
import type { CliContext, StopSignals } from "../context.ts";
import { trackChildGroups } from "../executors/child-groups.ts";
import { runnerInfo } from "../runner-info.ts";
import { version } from "../version.ts";
import { CacheCounts } from "../console/cache-counts.ts";
import { pipelineFacts } from "../project/facts.ts";
import { createExecExecutor } from "./executor.ts";
import type { Git } from "../project/git.ts";
import type { ExecOptions } from "./options.ts";
import type { Plan } from "../project/plan.ts";
import { createProgress } from "../console/progress.ts";
import { takeSnapshot } from "../project/snapshot.ts";
import { printPlaces, printSummary } from "../console/summary.ts";
import { removeTraceLeftovers } from "./trace-leftovers.ts";

const TICK_MS = 250;
/** The coordinator is in this process and answers a kept poll with the job itself, so turns cost nothing. */
const CHECK_INTERVAL_MS = 10;
const POLL_HOLD_MS = 60_000;
const INSTANCE_URL = "http://fleetfoot.localhost";
const SYSTEM_ID = "r_localrun0000";
/** No secret: it opens nothing but the coordinator in this process. Always the same one, because it names the working copies. */
const RUNNER_TOKEN = "glrt-local-run";

/**
 * Runs a pipeline: a coordinator in this process, and as many jobs at once as were asked for.
 *
 * @returns the exit code: 0 when the pipeline passed
 */
export async function runPipeline(run: {
  readonly options: ExecOptions;
  readonly plan: Plan;
  readonly git: Git;
  readonly context: CliContext;
}): Promise<number> {
  const { options, plan, git, context } = run;
  const directories = stateDirectories(options.stateDirectory);
  await Promise.all(Object.values(directories).map((path) => mkdir(path, { recursive: true })));
  await removeTraceLeftovers(directories.temporary);
  const snapshot = await takeSnapshot({
    project: plan.project,
    stateDirectory: options.stateDirectory,
    committedOnly: options.committedOnly,
    git,
  });
  for (const warning of snapshot.warnings) context.stderr.write(`WARNING: ${warning}\n`);

  const caches = new CacheCounts();
  const progress = createProgress({
    output: context.stdout,
    jobNames: plan.pipeline.jobs.map((job) => job.name),
    quiet: options.quiet,
    now: Date.now,
  });
  const coordinator = createLocalCoordinator({
    stateDirectory: directories.coordinator,
    url: INSTANCE_URL,
    longPolling: { holdMs: POLL_HOLD_MS, onWake: "assign" },
    listener: progress.show,
  });
  const client = createCoordinatorClient({
    url: INSTANCE_URL,
    info: runnerInfo(options.executor, options.shell),
    fetch: coordinator.handle,
  });
  const { executor, ...place } = createExecExecutor(options, directories, context.environment, RUNNER_TOKEN);
  const token = new Secret(coordinator.createRunner({ token: RUNNER_TOKEN }).token);
  const ownProcesses = trackChildGroups();
  const stopJobs = new AbortController();
  const settings = {
    name: "this machine",
    token,
    systemId: SYSTEM_ID,
    url: INSTANCE_URL,
    version,
    ...place,
    featureFlags: { FF_TIMESTAMPS: false },
    // Nobody else reads these caches, and this format is the quickest to restore.
    environment: ["CACHE_COMPRESSION_FORMAT=tarzstd"],
  };

  const pipeline = coordinator.startPipeline({
    pipeline: plan.pipeline,
    ...pipelineFacts(plan.project, options, snapshot.sha),
    repositoryUrl: snapshot.repositoryUrl,
    variables: options.variables,
    play: options.jobNames,
    ignoreDelays: true,
    ignoreTags: true,
    cache: { separateCaches: options.separateCaches },
    blobIdOf: snapshot.blobIdOf,
  });
  const poller = startPolling({
    runners: [{ name: settings.name, url: settings.url, token, requestConcurrency: options.concurrency }],
    concurrent: options.concurrency,
    checkIntervalMs: CHECK_INTERVAL_MS,
    request: (runner, { signal }) => client.requestJob({ token: runner.token, systemId: SYSTEM_ID }, { signal }),
    dispatch: async (_runner, job, assignment) => {
      await runJob({
        ...assignment,
        job,
        runner: settings,
        client,
        executor,
        stateDirectory: directories.temporary,
        environment: context.environment,
        signal: stopJobs.signal,
        spawn: ownProcesses.spawn,
        events: (event) => {
          if (event.type === "cache") caches.add(event.event);
        },
        logger: noopLogger,
      });
    },
  });
  const endStopping = stopWhenTold(context.stop, {
    async finish() {
      progress.close();
      context.stderr.write("Stopping: running jobs are finished, no further one is started.\n");
      await poller.stop({ cancelRequests: true });
      pipeline.cancel({ force: true });
    },
    interrupt() {
      progress.close();
      context.stderr.write("Stopping: running jobs are stopped and cleaned up. A second Ctrl-C kills them.\n");
      stopJobs.abort(JobInterrupted.processStopped("interrupt"));
      pipeline.cancel({ force: true });
    },
    abandon() {
      executor.killAll();
      ownProcesses.killAll();
      progress.close();
      return "Running jobs are killed, and what they would have saved or cleaned up is left.";
    },
  });
  const ticker = setInterval(progress.tick, TICK_MS);
  try {
    const result = await pipeline.finished;
    await poller.stop({ cancelRequests: true });
    progress.close();
    printSummary({
      result,
      caches,
      hasUncommittedChanges: snapshot.hasUncommittedChanges,
      warningCount: plan.warnings.length + snapshot.warnings.length,
      output: context.stdout,
    });
    context.stdout.write("Logs and artifacts:\n");
    printPlaces(result, context.workingDirectory, context.stdout);
    return result.status === "success" || result.status === "manual" ? 0 : 1;
  } finally {
    clearInterval(ticker);
    endStopping();
    progress.close();
    await executor.close();
    await client.close();
    await coordinator.close();
  }
}

/** Tells what is to happen when the process is told to end; returns a function that ends it. */
function stopWhenTold(
  { graceful, forced, onAbandon }: StopSignals,
  react: { finish(): Promise<void>; interrupt(): void; abandon(): string },
): () => void {
  // A forced stop is a graceful one as well.
  const onGraceful = (): void => {
    if (!forced.aborted) void react.finish();
  };
  const onForced = (): void => react.interrupt();
  graceful.addEventListener("abort", onGraceful, { once: true });
  forced.addEventListener("abort", onForced, { once: true });
  if (forced.aborted) onForced();
  else if (graceful.aborted) onGraceful();
  const endAbandon = onAbandon(react.abandon);
  return () => {
    graceful.removeEventListener("abort", onGraceful);
    forced.removeEventListener("abort", onForced);
    endAbandon();
  };
}

/** Where a local run keeps what. */
interface StateDirectories {
  /** Traces, artifacts and counters. */
  readonly coordinator: string;
  readonly builds: string;
  readonly caches: string;
  readonly temporary: string;
}

function stateDirectories(stateDirectory: string): StateDirectories {
  return {
    coordinator: join(stateDirectory, "coordinator"),
    builds: join(stateDirectory, "builds"),
    caches: join(stateDirectory, "caches"),
    temporary: join(stateDirectory, "tmp"),
  };
}
