import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { createDockerExecutor } from "../docker-executor.ts";
import type {
  DockerEnvironment,
  DockerExecutor,
  DockerExecutorOptions,
  DockerJob,
  DockerPrepareRequest,
} from "../types.ts";

/** An executor with a directory of its own, and the lines that its jobs log. */
export interface Harness extends AsyncDisposable {
  readonly executor: DockerExecutor;
  readonly log: string[];
  readonly hostDirectory: string;
  prepare(order?: JobOrder): Promise<DockerEnvironment>;
  request(order?: JobOrder): DockerPrepareRequest;
}

export interface JobOrder {
  readonly job?: Partial<DockerJob>;
  readonly variables?: Readonly<Record<string, string>>;
  readonly publicVariables?: readonly string[];
  readonly keepsWorkingCopy?: boolean;
  readonly concurrentProjectId?: number;
  readonly signal?: AbortSignal;
  readonly serviceOutput?: NonNullable<DockerPrepareRequest["serviceOutput"]>;
}

export const TOKEN = "glrt-AbCdEfGhIjKlMnOp";
export const SYSTEM_ID = "s_0123456789ab";

let lastJobId = 0;
const released = new WeakSet<DockerEnvironment>();

export async function openHarness(host: string, options: Partial<DockerExecutorOptions> = {}): Promise<Harness> {
  const hostDirectory = options.hostDirectory ?? (await mkdtemp(join(tmpdir(), "executor-docker-")));
  const log: string[] = [];
  const held = new Set<DockerEnvironment>();
  const executor = createDockerExecutor({
    engine: { host },
    runner: { token: { reveal: () => TOKEN }, shortToken: "AbCdEfGhI", systemId: SYSTEM_ID, hostName: "manager" },
    hostDirectory,
    ...options,
    settings: { image: "fleetfoot-busybox:latest", pullPolicy: ["if-not-present"], ...options.settings },
  });
  const request = (order: JobOrder = {}): DockerPrepareRequest => {
    const { variables = {} } = order;
    const id = order.job?.id ?? ++lastJobId;
    const project = "/builds/group/project";
    const exported = new Map(
      Object.entries({ CI_PROJECT_DIR: project, GITLAB_ENV: `${project}.tmp/gitlab_runner_env`, ...variables }),
    );
    return {
      jobId: id,
      projectId: 42,
      payload: { ...plainJob(id), ...order.job },
      concurrentProjectId: order.concurrentProjectId ?? 0,
      keepsWorkingCopy: order.keepsWorkingCopy ?? false,
      directories: { builds: "/builds", project, temporary: `${project}.tmp`, cache: "/cache/group/project" },
      variables: exported,
      lookupContent: (name) => exported.get(name),
      publicVariables: new Set(order.publicVariables ?? []),
      log: (text) => log.push(text),
      warn: (text) => log.push(`WARNING: ${text}`),
      ...(order.serviceOutput === undefined ? {} : { serviceOutput: order.serviceOutput }),
      signal: order.signal ?? new AbortController().signal,
    };
  };
  return {
    executor,
    log,
    hostDirectory,
    request,
    prepare: async (order) => {
      const environment = await executor.prepare(request(order));
      held.add(environment);
      return environment;
    },
    [Symbol.asyncDispose]: async () => {
      // Those of a test that failed must not be in the way of the next.
      for (const environment of held) if (!released.has(environment)) await release(environment);
      await executor.close();
      if (options.hostDirectory === undefined) await rm(hostDirectory, { recursive: true, force: true });
    },
  };
}

function plainJob(id: number): DockerJob {
  return {
    id,
    image: null,
    services: [],
    credentials: [],
    job_info: { project_id: 42, pipeline_id: 7 },
    git_info: { sha: "0".repeat(40), ref: "main", before_sha: "0".repeat(40), protected: false },
    runner_info: { timeout: 3600 },
    cache: [],
  };
}

/** What a script printed, and how it ended. */
export interface ScriptResult {
  readonly code: number;
  readonly text: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** More than anything here takes. */
export function soon(): AbortSignal {
  return AbortSignal.timeout(30_000);
}

export async function runScript(
  environment: DockerEnvironment,
  script: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<ScriptResult> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = Promise.all([readAll(stdout), readAll(stderr)]);
  // As job scripts do: the shell ends by itself, and its commands have no input.
  const whole = `(eval '${script.replaceAll("'", "'\\''")}') </dev/null\nexit $?\n`;
  try {
    const exit = await environment.run({ script: whole, stdout, stderr, signal });
    stdout.end();
    stderr.end();
    const [out, error] = await texts;
    return { ...exit, stdout: out, stderr: error };
  } finally {
    stdout.end();
    stderr.end();
  }
}

async function readAll(stream: PassThrough): Promise<string> {
  let text = "";
  for await (const piece of stream.setEncoding("utf8")) text += String(piece);
  return text;
}

/** Releases an environment as a job runner does. */
export function release(environment: DockerEnvironment): Promise<void> {
  released.add(environment);
  return environment.cleanup({ signal: new AbortController().signal });
}
