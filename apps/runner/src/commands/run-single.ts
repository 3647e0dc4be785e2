import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type RunnerConfig, type RunnerEntry, parseRunnerConfig, addRunner } from "@fleetfoot/runner-config";
import type { CommandAction, Invocation } from "../command.ts";
import { configPath, loadConfig, networkSettings } from "../config-file.ts";
import { type CliContext, StopReason } from "../context.ts";
import { defined } from "../defined.ts";
import { checkDockerOptions, readDockerSettings } from "../docker-settings.ts";
import { UsageError } from "../errors.ts";
import { createProcessLog } from "../process-log.ts";
import { SUPPORTED_EXECUTORS } from "../executors/executors.ts";
import { startRunnerProcess } from "../run/runner-process.ts";
import { remoteCaches } from "../stores/remote-caches.ts";
import { nothingSelected } from "../instance/selection.ts";
import { loadSystemId } from "../system-id.ts";

/** Runs the jobs of one runner, for as many jobs or as long as was asked for. */
export const runSingle: CommandAction = async (invocation, context) => {
  const maxJobs = wholeNumber(invocation, "max-builds");
  const waitMs = wholeNumber(invocation, "wait-timeout") * 1000;
  const { config, directory } = await configOf(invocation, context);
  const logger = createProcessLog({
    output: context.stderr,
    ...defined({ level: invocation.text("log-level"), format: invocation.text("log-format") }),
    now: Date.now,
  });
  const network = networkSettings(context);
  for (const { message } of network.proxies.warnings) logger.warn(message);
  const caches = remoteCaches({ environment: context.environment, proxies: network.proxies, logger });
  await caches.open(config.runners);
  const enough = new AbortController();
  const countedOut = (): void => enough.abort(new StopReason("SIGQUIT"));
  let jobsLeft = maxJobs === 0 ? Number.POSITIVE_INFINITY : maxJobs;
  let waiting = armWait();

  const stateDirectory = await mkdtemp(join(tmpdir(), "fleetfoot-run-single-"));
  const runnerProcess = startRunnerProcess({
    config,
    systemId: await loadSystemId(directory, { warn: (message) => logger.warn(message) }),
    instance: "single",
    workingDirectory: resolve(context.workingDirectory, invocation.text("working-directory") ?? "."),
    stateDirectory,
    caches,
    environment: context.environment,
    network,
    logger,
    stop: { ...context.stop, graceful: AbortSignal.any([context.stop.graceful, enough.signal]) },
    maxJobs: jobsLeft,
    onJobReceived: () => clearTimeout(waiting),
    onJobEnded: () => {
      jobsLeft -= 1;
      if (jobsLeft <= 0) countedOut();
      else waiting = armWait();
    },
  });
  try {
    return (await runnerProcess.stopped) ? 0 : 1;
  } finally {
    clearTimeout(waiting);
    await rm(stateDirectory, { recursive: true, force: true });
  }

  function armWait(): NodeJS.Timeout | undefined {
    return waitMs === 0 ? undefined : setTimeout(countedOut, waitMs);
  }
};

/** One job at a time of one runner: the named one of the file, or the one that the options describe. */
async function configOf(
  invocation: Invocation,
  context: CliContext,
): Promise<{ readonly config: RunnerConfig; readonly directory: string }> {
  const name = invocation.text("runner");
  if (name !== undefined) {
    const path = configPath(invocation, context);
    const { config } = await loadConfig(path, context.environment);
    const runner = config.runners.find((candidate) => candidate.name === name);
    if (runner === undefined) throw nothingSelected(path);
    return { config: oneJobAtATime(config, runner), directory: dirname(path) };
  }
  const executor = need(invocation, "executor");
  if (!SUPPORTED_EXECUTORS.includes(executor)) {
    throw new UsageError(`The executor "${executor}" is not supported.`, {
      cure: `Supported: ${SUPPORTED_EXECUTORS.join(", ")}.`,
    });
  }
  const docker = executor === "docker" ? readDockerSettings(invocation) : undefined;
  if (docker !== undefined) await checkDockerOptions(docker);
  const text = addRunner("", {
    name: invocation.text("name") ?? "run-single",
    url: need(invocation, "url"),
    token: need(invocation, "token"),
    id: 0,
    tokenObtainedAt: new Date().toISOString(),
    tokenExpiresAt: undefined,
    executor,
    ...defined({
      shell: invocation.text("shell"),
      buildsDirectory: invocation.text("builds-dir"),
      cacheDirectory: invocation.text("cache-dir"),
      tlsCaFile: invocation.text("tls-ca-file"),
      tlsCertificateFile: invocation.text("tls-cert-file"),
      tlsKeyFile: invocation.text("tls-key-file"),
      docker,
    }),
  });
  const { config } = parseRunnerConfig(text, { environment: context.environment });
  const runner = config?.runners[0];
  if (config === undefined || runner === undefined) throw new UsageError("The options describe no runner.");
  return { config: oneJobAtATime(config, runner), directory: context.workingDirectory };
}

function oneJobAtATime(config: RunnerConfig, runner: RunnerEntry): RunnerConfig {
  return { ...config, concurrent: 1, runners: [runner] };
}

function need(invocation: Invocation, option: string): string {
  const value = invocation.text(option);
  if (value === undefined)
    throw new UsageError(`--${option} is missing.`, { cure: "Give it, or name a runner of the file with --runner." });
  return value;
}

function wholeNumber(invocation: Invocation, option: string): number {
  const text = invocation.text(option) ?? "0";
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new UsageError(`--${option} ${text} is no whole number.`);
}
