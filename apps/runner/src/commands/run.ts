import { createHash } from "node:crypto";
import { unwatchFile, watchFile } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Logger } from "@fleetfoot/coordinator-client";
import { sleep } from "@fleetfoot/coordinator-client/retry";
import type { RunnerConfig } from "@fleetfoot/runner-config";
import { LockHeldError } from "@fleetfoot/directory-lock";
import type { DirectoryLock } from "@fleetfoot/directory-lock";
import type { CommandAction } from "../command.ts";
import { type ConfigFile, configPath, loadConfig, networkSettings } from "../config-file.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { takeLock } from "../lock.ts";
import type { ServedMetrics, StartMetricsOptions } from "../metrics/start-metrics.ts";
import { createProcessLog } from "../process-log.ts";
import { noopObserver, type RunnerObserver } from "../run/observer.ts";
import { startTokenRotation, type TokenRotation } from "../run/rotate-tokens.ts";
import { startRunnerProcess } from "../run/runner-process.ts";
import { type RemoteCaches, remoteCaches } from "../stores/remote-caches.ts";
import { openStateDirectory, type StateDirectory } from "../run/state-directory.ts";
import { takeOver } from "../run/take-over.ts";
import { loadSystemId } from "../system-id.ts";
import { makeFolder } from "../make-folder.ts";

const RELOAD_CHECK_MS = 3000;

/** Takes jobs for every runner of the configuration until the process is told to stop. */
export const run: CommandAction = async (invocation, context) => {
  const path = configPath(invocation, context);
  const file = await loadConfig(path, context.environment);
  const processLog = createProcessLog({
    output: context.stderr,
    level: invocation.text("log-level") ?? file.config.logLevel,
    format: invocation.text("log-format") ?? file.config.logFormat,
    now: Date.now,
  });
  const network = networkSettings(context);
  for (const { message } of network.proxies.warnings) processLog.warn(message);
  const workingDirectory = resolve(context.workingDirectory, invocation.text("working-directory") ?? ".");
  await makeFolder(workingDirectory);
  const lock = await lockConfig(path);
  let state: StateDirectory | undefined;
  let metrics: ServedMetrics | undefined;
  try {
    // Beside the file, as the lock is: so it is this process's alone, and what a killed one left in it is for this one to finish.
    state = await openStateDirectory(`${path}.state`);
    const systemId = await loadSystemId(dirname(path), { warn: (message) => processLog.warn(message) });
    const address = invocation.text("listen-address") ?? file.config.listenAddress;
    metrics = await serveMetrics({ address, systemId, logger: processLog, now: Date.now });
    const { logger = processLog, observer = noopObserver } = metrics ?? {};
    tellProblems(file, logger);
    const caches = remoteCaches({ environment: context.environment, proxies: network.proxies, logger });
    await caches.open(file.config.runners);
    const runnerProcess = startRunnerProcess({
      config: file.config,
      systemId,
      instance: createHash("sha256").update(path).digest("hex").slice(0, 12),
      workingDirectory,
      stateDirectory: state.logs,
      ...(await takeOver({ state, systemId, logger, sleep })),
      caches,
      environment: context.environment,
      network,
      logger,
      observer,
      stop: context.stop,
    });
    let rotation: TokenRotation | undefined;
    let reloading: Reloading | undefined;
    try {
      logger.info("Waiting for jobs", {
        config: path,
        runners: file.config.runners.length,
        concurrent: file.config.concurrent,
      });
      rotation = startTokenRotation(file.config, {
        path,
        environment: context.environment,
        systemId,
        network,
        logger,
        onRotated: () => reloading?.now(),
        now: Date.now,
        sleep,
      });
      reloading = reloadOnChange({ path, context, caches, logger, observer, users: [runnerProcess, rotation] });
      return (await runnerProcess.stopped) ? 0 : 1;
    } finally {
      reloading?.end();
      // Still at work only when something here has failed; the lock must not be free for another process before.
      await Promise.all([runnerProcess.stop(), rotation?.stop()]);
    }
  } finally {
    await metrics?.close();
    await state?.close();
    await lock.release();
  }
};

/** Without an address nothing is counted, and nothing is loaded that could. */
async function serveMetrics(
  options: Omit<StartMetricsOptions, "address"> & { readonly address: string | undefined },
): Promise<ServedMetrics | undefined> {
  const { address } = options;
  if (address === undefined || address === "") return undefined;
  const { startMetrics } = await import("../metrics/start-metrics.ts");
  return startMetrics({ ...options, address });
}

/** Two processes with one configuration would take each other's builds directories. */
async function lockConfig(path: string): Promise<DirectoryLock> {
  try {
    return await takeLock(`${path}.lock`);
  } catch (error) {
    if (error instanceof LockHeldError) {
      throw new UsageError(`${error.holder.replace(/^p/, "P")} runs with ${path} already.`, {
        cure: "Stop it first, raise concurrent in the file for more jobs at once, or use a file of its own with --config.",
        cause: error,
      });
    }
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}.lock cannot be made: ${error instanceof Error ? error.message : String(error)}`, {
      cure: "Check that the folder of the configuration can be written, or name another file with --config.",
      cause: error,
    });
  }
}

interface Reloading {
  readonly now: () => void;
  readonly end: () => void;
}

/** Loads the configuration again when the file has changed or somebody asks for it. A broken one changes nothing. */
function reloadOnChange(watch: {
  readonly path: string;
  readonly context: CliContext;
  readonly caches: Pick<RemoteCaches, "open">;
  readonly logger: Logger;
  readonly observer: Pick<RunnerObserver, "configurationFailed">;
  readonly users: readonly { update(config: RunnerConfig): void }[];
}): Reloading {
  const { path, context, caches, logger, observer, users } = watch;
  let isEnded = false;
  const load = async (): Promise<void> => {
    try {
      const file = await loadConfig(path, context.environment);
      await caches.open(file.config.runners);
      if (isEnded) return;
      for (const user of users) user.update(file.config);
      tellProblems(file, logger);
      logger.info("Configuration loaded", {
        config: path,
        runners: file.config.runners.length,
        concurrent: file.config.concurrent,
      });
    } catch (error) {
      observer.configurationFailed();
      logger.error("Failed to load config; the old one stays in force", { error });
    }
  };
  let loading = Promise.resolve();
  // One after the other: an older file must not come into force after a newer one.
  const reload = (): void => {
    loading = loading.then(load);
  };
  const endSignal = context.stop.onReload(reload);
  watchFile(path, { interval: RELOAD_CHECK_MS }, (now, before) => {
    if (now.mtimeMs !== before.mtimeMs) reload();
  });
  return {
    now: reload,
    end: () => {
      isEnded = true;
      unwatchFile(path);
      endSignal();
    },
  };
}

function tellProblems(file: ConfigFile, logger: Logger): void {
  for (const { path, message } of file.warnings)
    logger.warn(message, { config: file.path, ...(path === "" ? {} : { at: path }) });
  if (file.config.runners.length === 0)
    logger.warn("There is no runner in the configuration; fleetfoot register adds one", { config: file.path });
}
