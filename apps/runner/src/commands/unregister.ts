import { dirname } from "node:path";
import { Secret } from "@fleetfoot/coordinator-client";
import { removeRunners, type RunnerEntry } from "@fleetfoot/runner-config";
import type { CommandAction } from "../command.ts";
import { configPath, loadConfig, saveConfig, networkSettings } from "../config-file.ts";
import { UsageError } from "../errors.ts";
import { createProcessLog } from "../process-log.ts";
import { connect } from "../instance/connect.ts";
import { hasSelection, nothingSelected, selectsRunner } from "../instance/selection.ts";
import { loadSystemId } from "../system-id.ts";

/** Removes runners from their instances and, one by one as that succeeds, from the file. */
export const unregister: CommandAction = async (invocation, context) => {
  const path = configPath(invocation, context);
  const everything = invocation.flag("all-runners");
  if (!everything && !hasSelection(invocation)) {
    throw new UsageError("Which runner?", { cure: "Name one with --name, --url or --token, or say --all-runners." });
  }
  const { config } = await loadConfig(path, context.environment);
  const logger = createProcessLog({ output: context.stderr, now: Date.now });
  const fitting = everything ? config.runners : config.runners.filter(selectsRunner(invocation)).slice(0, 1);
  if (fitting.length === 0) throw nothingSelected(path);

  const systemId = await loadSystemId(dirname(path), { warn: (message) => logger.warn(message) });
  let failed = 0;
  for (const runner of fitting) {
    const client = connect(runner, networkSettings(context), logger);
    try {
      const result = await client.unregisterRunner(
        { token: new Secret(runner.token), systemId },
        { signal: context.stop.forced },
      );
      if (result.succeeded) await forget(path, runner, context.environment);
      else failed += 1;
      context.stdout.write(`${runner.name}: ${result.succeeded ? "removed" : `stays in ${path}: ${result.message}`}\n`);
    } finally {
      await client.close();
    }
  }
  return failed === 0 ? 0 : 1;
};

/** The file is read again for each one, because somebody else may have changed it in the meantime. */
async function forget(path: string, runner: RunnerEntry, environment: Readonly<Record<string, string>>): Promise<void> {
  const { text } = await loadConfig(path, environment);
  await saveConfig(
    path,
    removeRunners(text, (entry) => entry.token === runner.token && entry.url === runner.url, { environment }),
  );
}
