import { shortToken } from "@fleetfoot/coordinator-client";
import type { CommandAction } from "../command.ts";
import { configPath, describeConfigProblems, loadConfig } from "../config-file.ts";

/** Prints the runners of the configuration. */
export const list: CommandAction = async (invocation, context) => {
  const path = configPath(invocation, context);
  const { config, warnings } = await loadConfig(path, context.environment);
  if (warnings.length > 0) context.stderr.write(`${describeConfigProblems(path, warnings)}\n`);
  const runners = config.runners.map(({ name, executor, url, token }) => ({
    name,
    executor,
    url,
    token: shortToken(token),
  }));
  if (invocation.flag("json")) {
    context.stdout.write(`${JSON.stringify(runners, undefined, 2)}\n`);
    return 0;
  }
  context.stderr.write(
    `${runners.length === 0 ? "No runners" : `${runners.length} runner${runners.length === 1 ? "" : "s"}`} in ${path}\n`,
  );
  for (const { name, executor, url, token } of runners)
    context.stdout.write(`${name}  ${executor}  ${token}  ${url}\n`);
  return 0;
};
