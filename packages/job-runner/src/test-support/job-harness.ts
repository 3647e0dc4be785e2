import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";

import { Secret } from "@fleetfoot/coordinator-client";
import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";
import { createShellExecutor } from "@fleetfoot/executor-shell";

import type { Environment, Executor } from "../executor.ts";
import type { JobEvent, JobResult } from "../job-result.ts";
import type { RunJobOptions } from "../options.ts";
import type { RunnerSettings } from "../runner-settings.ts";
import { runJob } from "../run-job.ts";
import { createManualSleep } from "./manual-sleep.ts";
import type { ManualSleep } from "./manual-sleep.ts";
import { createRecordingCoordinator } from "./recording-coordinator.ts";
import type { RecordingAnswers, RecordingCoordinator } from "./recording-coordinator.ts";

/** Pause between the reporter's updates in these tests, told apart from every other wait by its length. */
export const REPORT_INTERVAL_MS = 3_001;

/** Pauses that no test is about: before a retry, and between asking git to end and killing it. */
const SHORT_PAUSES = [3_000, 5_000, 10_000, 20_000];

export interface Harness {
  /** Root of all directories of this test. */
  readonly root: string;
  run(job: JobPayload, options?: RunOptions): Promise<Run>;
  start(job: JobPayload, options?: RunOptions): StartedRun;
  dispose(): Promise<void>;
}

export interface RunOptions {
  readonly answers?: RecordingAnswers;
  readonly runner?: Partial<RunnerSettings>;
  readonly options?: Partial<RunJobOptions>;
  /** Waits that end at once. @default the pauses that no test is about */
  readonly instant?: readonly number[];
  /** Environment of everything that is started, beside HOME. @default that of the tests */
  readonly path?: string;
}

export interface Run {
  readonly result: JobResult;
  readonly coordinator: RecordingCoordinator;
  readonly log: string;
  readonly events: readonly JobEvent[];
  /** Stages that were entered, in order. */
  readonly stages: readonly string[];
  /** Processes that were started, by their command lines. */
  readonly processes: readonly string[];
  readonly time: ManualSleep;
}

export interface StartedRun {
  readonly finished: Promise<Run>;
  readonly time: ManualSleep;
  readonly coordinator: RecordingCoordinator;
  /** Resolves when a script has printed the text. */
  printed(text: string): Promise<void>;
}

export async function openHarness(): Promise<Harness> {
  const root = await mkdtemp(join(tmpdir(), "job-runner-"));
  await mkdir(join(root, "state"));
  const start = (
    job: JobPayload,
    { answers, runner, options, instant = SHORT_PAUSES, path }: RunOptions = {},
  ): StartedRun => {
    const time = createManualSleep(instant);
    const coordinator = createRecordingCoordinator(answers);
    const events: JobEvent[] = [];
    const processes: string[] = [];
    const countingSpawn: typeof spawn = ((command: string, args: string[], settings: object) => {
      processes.push([command, ...args].join(" "));
      return spawn(command, args, settings);
    }) as typeof spawn;
    const environment = { PATH: path ?? process.env["PATH"], HOME: root, GIT_CONFIG_NOSYSTEM: "1" };
    const output = watchOutput(createShellExecutor({ environment, spawn: countingSpawn, outputGraceMs: 200 }));
    const running = runJob({
      job,
      runner: { ...runnerSettings(root), ...runner },
      client: coordinator,
      executor: output.executor,
      stateDirectory: join(root, "state"),
      concurrentId: 0,
      concurrentProjectId: 0,
      signal: new AbortController().signal,
      events: (event) => events.push(event),
      environment,
      reporting: { initialIntervalMs: REPORT_INTERVAL_MS },
      sleep: time.sleep,
      spawn: countingSpawn,
      ...options,
    });
    const finished = running.then((result) => ({
      result,
      coordinator,
      log: coordinator.log,
      events,
      stages: events.flatMap((event) => (event.type === "stage-started" ? [event.stage] : [])),
      processes,
      time,
    }));
    return { finished, time, coordinator, printed: output.printed };
  };
  return {
    root,
    start,
    run: (job, options) => start(job, options).finished,
    dispose: () => rm(root, { recursive: true, force: true }),
  };
}

function runnerSettings(root: string): RunnerSettings {
  return {
    name: "test runner",
    token: new Secret("glrt-AbCdEfGhIjKlMnOp"),
    systemId: "s_0123456789ab",
    url: "http://127.0.0.1",
    buildsDirectory: join(root, "builds"),
    cacheDirectory: join(root, "cache"),
  };
}

/** Where the jobs of {@link helloJob} lie. */
export function projectOf(root: string): string {
  return join(root, "builds", "AbCdEfGhI", "0", "g", "p");
}

/** The minimal job: no sources, one line. @see coordinator-protocol 5.4 */
export function helloJob(changes: Partial<JobPayload> = {}, variables: readonly JobVariable[] = []): JobPayload {
  return {
    id: 101,
    token: "glcbt-test-101",
    allow_git_fetch: false,
    job_info: { name: "hello", stage: "test", project_id: 1, project_name: "p" },
    git_info: {
      repo_url: "http://127.0.0.1/g/p.git",
      ref: "main",
      sha: "0123456789abcdef0123456789abcdef01234567",
      before_sha: "",
      ref_type: "branch",
    },
    runner_info: { timeout: 600 },
    variables: [
      { key: "GIT_STRATEGY", value: "none", public: true },
      { key: "FF_TIMESTAMPS", value: "false", public: true },
      { key: "CI_JOB_TOKEN", value: "glcbt-test-101", masked: true },
      ...variables,
    ],
    steps: script("echo hi"),
    image: null,
    services: [],
    artifacts: [],
    cache: [],
    credentials: [],
    dependencies: [],
    features: {
      trace_sections: true,
      failure_reasons: [
        "script_failure",
        "runner_system_failure",
        "job_execution_timeout",
        "image_pull_failure",
        "unknown_failure",
      ],
    },
    hooks: [],
    secrets: {},
    inputs: [],
    run: "",
    ...changes,
  };
}

export function script(...lines: readonly string[]): JobPayload["steps"] {
  return [{ name: "script", script: lines }];
}

export function withAfterScript(lines: readonly string[], afterScript: readonly string[]): JobPayload["steps"] {
  return [...script(...lines), { name: "after_script", script: afterScript }];
}

/** The log without the sequences for terminals. */
export function plain(log: string): string {
  // oxlint-disable-next-line no-control-regex
  return log.replaceAll(/\u001B\[[0-9;]*[mK]/g, "");
}

function watchOutput(executor: Executor): { executor: Executor; printed: (text: string) => Promise<void> } {
  let seen = "";
  const waiting: { readonly text: string; readonly resolve: () => void }[] = [];
  const notice = (chunk: Buffer): void => {
    seen += chunk.toString();
    for (const { text, resolve } of waiting) if (seen.includes(text)) resolve();
  };
  const watched = (destination: Writable): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        destination.write(chunk, (error) => {
          notice(chunk);
          callback(error);
        });
      },
    });
  const watchEnvironment = (environment: Environment): Environment => ({
    ...environment,
    run: (request) => environment.run({ ...request, stdout: watched(request.stdout) }),
  });
  return {
    executor: {
      name: executor.name,
      prepare: async (request) => watchEnvironment(await executor.prepare(request)),
    },
    printed: (text) =>
      new Promise((resolve) => {
        if (seen.includes(text)) resolve();
        else waiting.push({ text, resolve });
      }),
  };
}
