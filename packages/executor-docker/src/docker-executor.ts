import { randomBytes } from "node:crypto";

import { openEngine } from "./engine/engine.ts";
import type { Engine } from "./engine/engine.ts";
import type { ExecutorContext } from "./executor-context.ts";
import { collectGarbage } from "./garbage/collect-garbage.ts";
import { openUsage } from "./garbage/usage.ts";
import { prepareJob } from "./prepare-job.ts";
import { sleep as realSleep } from "./sleep.ts";
import { sweep } from "./sweep.ts";
import type { DockerEnvironment, DockerExecutor, DockerExecutorOptions, DockerPrepareRequest } from "./types.ts";

/**
 * Makes an executor that runs the scripts of jobs in containers of one engine. It is connected to when the first job comes.
 *
 * @see https://docs.gitlab.com/runner/executors/docker/
 */
export function createDockerExecutor(options: DockerExecutorOptions): DockerExecutor {
  const {
    stopGraceMs = 5_000,
    reconnectMs = 120_000,
    silenceCheckMs = 60_000,
    sleep = realSleep,
    now = Date.now,
    randomHex = (digits) =>
      randomBytes(Math.ceil(digits / 2))
        .toString("hex")
        .slice(0, digits),
  } = options;
  const running = options.runningJobs ?? new Set<number>();
  const usage = openUsage(options.hostDirectory, options.held ?? new Map<string, number>(), now);
  let opening: Promise<Engine> | undefined;
  let sharing: Promise<boolean> | undefined;

  const engine = async (): Promise<Engine> => {
    opening ??= openEngine({
      ...options.engine,
      ...(options.keepAliveMs === undefined ? {} : { keepAliveMs: options.keepAliveMs }),
      keyLogFile: options.keyLogFile,
    });
    try {
      return await opening;
    } catch (error) {
      // Certificates may be there when the next job comes.
      opening = undefined;
      throw error;
    }
  };
  const over = new AbortController();
  const sharesFiles: ExecutorContext["sharesFiles"] = async (probe, signal) => {
    // Several jobs may wait for it, so none of them ends it.
    sharing ??= probe(over.signal).catch((error: unknown) => {
      sharing = undefined;
      throw error;
    });
    return await unlessAborted(sharing, signal);
  };
  const prepare = async (request: DockerPrepareRequest): Promise<DockerEnvironment> => {
    request.signal.throwIfAborted();
    running.add(request.jobId);
    try {
      const opened = await engine();
      if (options.keyLogFile !== undefined) request.warn(keyLogWarning(opened));
      const environment = await prepareJob(
        {
          engine: opened,
          options: { ...options, stopGraceMs, reconnectMs, silenceCheckMs, sleep, now, randomHex },
          usage,
          userId: process.getuid?.(),
          sharesFiles,
        },
        request,
      );
      return {
        ...environment,
        cleanup: async (cleaning) => {
          try {
            await environment.cleanup(cleaning);
          } finally {
            running.delete(request.jobId);
          }
        },
      };
    } catch (error) {
      running.delete(request.jobId);
      throw error;
    }
  };
  return {
    name: "docker",
    prepare,
    sweep: async ({ signal }) =>
      sweep({
        engine: await engine(),
        runner: options.runner,
        running,
        hostDirectory: options.hostDirectory,
        keepAnonymousVolumes: options.settings?.volumeKeep === true,
        signal,
      }),
    collectGarbage: async ({ signal }) =>
      collectGarbage({
        engine: await engine(),
        runner: options.runner,
        hostDirectory: options.hostDirectory,
        settings: options.settings ?? {},
        usage,
        now,
        signal,
      }),
    close: async () => {
      over.abort(new Error("the executor is closed"));
      const opened = await opening?.catch(() => undefined);
      opened?.close();
    },
  };
}

function keyLogWarning(engine: Engine): string {
  const what = "The keys of the connections to the Docker engine";
  const problem = engine.keyLogProblem();
  return problem === undefined
    ? `${what} are written to a file on the runner's host`
    : `${what} cannot be written to a file: ${problem}`;
}

async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
  });
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
