import { dirname } from "node:path";
import { Secret } from "@fleetfoot/coordinator-client";
import { removeRunners } from "@fleetfoot/runner-config";
import type { CommandAction } from "../command.ts";
import { configPath, loadConfig, saveConfig, networkSettings } from "../config-file.ts";
import { createProcessLog } from "../process-log.ts";
import { connect } from "../instance/connect.ts";
import { nothingSelected, selectsRunner } from "../instance/selection.ts";
import { loadSystemId } from "../system-id.ts";

/** Checks every selected runner's token, and with `--delete` drops those that were refused. */
export const verify: CommandAction = async (invocation, context) => {
  const path = configPath(invocation, context);
  const { config, text } = await loadConfig(path, context.environment);
  const logger = createProcessLog({ output: context.stderr, now: Date.now });
  const selected = config.runners.filter(selectsRunner(invocation));
  if (selected.length === 0) throw nothingSelected(path);

  const systemId = await loadSystemId(dirname(path), { warn: (message) => logger.warn(message) });
  const refused = new Set<string>();
  const unknown: string[] = [];
  for (const runner of selected) {
    const client = connect(runner, networkSettings(context), logger);
    try {
      const result = await client.verifyRunner(
        { token: new Secret(runner.token), systemId },
        { signal: context.stop.forced },
      );
      if (result.outcome === "invalid") refused.add(runner.token);
      if (result.outcome === "inconclusive") unknown.push(runner.name);
      const said = {
        valid: "valid",
        invalid: "refused; the instance does not know its token",
        inconclusive: `could not be checked: ${result.message}`,
      };
      context.stdout.write(`${runner.name}: ${said[result.outcome]}\n`);
    } finally {
      await client.close();
    }
  }
  if (!invocation.flag("delete")) return refused.size + unknown.length > 0 ? 1 : 0;
  if (refused.size > 0) {
    await saveConfig(
      path,
      removeRunners(text, (runner) => refused.has(runner.token), { environment: context.environment }),
    );
    context.stdout.write(`${refused.size} removed from ${path}\n`);
  }
  return unknown.length > 0 ? 1 : 0;
};
