import type { RemoteCache } from "@fleetfoot/job-runner";
import type { RunnerCache, RunnerEntry } from "@fleetfoot/runner-config";
import type { Invocation } from "../command.ts";
import { configPath, loadConfig, networkSettings } from "../config-file.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { createProcessLog } from "../process-log.ts";
import { remoteCaches } from "../stores/remote-caches.ts";

/** The store that a runner of config.toml uses. */
export interface RunnerStore {
  readonly cache: RunnerCache;
  readonly remote: RemoteCache;
}

/**
 * Opens the store of the runner that `--config` and `--runner` mean.
 *
 * @returns `undefined` when neither was given: then it is about caches of this host
 * @throws {UsageError} there is no such runner, several are meant, or it has no store
 */
export async function openRunnerStore(invocation: Invocation, context: CliContext): Promise<RunnerStore | undefined> {
  const name = invocation.text("runner");
  if (name === undefined && invocation.text("config") === undefined) return undefined;
  const path = configPath(invocation, context);
  const { config, text } = await loadConfig(path, context.environment);
  if (text === "")
    throw new UsageError(`There is no configuration in ${path}.`, { cure: "Name its file with --config." });
  const entry = chooseRunner(config.runners, name, path);
  const logger = createProcessLog({ output: context.stderr, now: Date.now });
  const remote = await remoteCaches({
    environment: context.environment,
    proxies: networkSettings(context).proxies,
    logger,
  }).of(entry);
  if (remote === undefined || entry.cache === undefined) {
    throw new UsageError(`The runner ${entry.name} has no store that can be opened in ${path}.`, {
      cure: "Give it a [runners.cache] section with a Type, or leave --config and --runner out for the caches of this host.",
    });
  }
  return { cache: entry.cache, remote };
}

function chooseRunner(runners: readonly RunnerEntry[], name: string | undefined, path: string): RunnerEntry {
  const meant = name === undefined ? runners : runners.filter((runner) => runner.name === name);
  const [entry] = meant;
  if (entry !== undefined && meant.length === 1) return entry;
  const names = runners.map((runner) => runner.name).join(", ") || "none";
  const said = entry === undefined ? `There is no such runner in ${path}.` : `${path} has several runners.`;
  throw new UsageError(said, { cure: `Name one with --runner; it has: ${names}.` });
}
