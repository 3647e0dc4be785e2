import { expiryRuleFor } from "../../cache/expiry-rules.ts";
import { readProjectId } from "../../cache/place.ts";
import { openRunnerStore } from "../../cache/runner-store.ts";
import { storePrefix } from "../../cache/store-shelf.ts";
import type { CommandAction } from "../../command.ts";
import { networkSettings } from "../../config-file.ts";
import { UsageError } from "../../errors.ts";
import { openStoreTools } from "../../stores/store-options.ts";

const DEFAULT_DAYS = 14;

/** Prints, or sets, the rule that lets the bucket of a runner forget caches. */
export const cacheLifecycle: CommandAction = async (invocation, context) => {
  const days = Number(invocation.text("days") ?? DEFAULT_DAYS);
  if (!Number.isInteger(days) || days < 1) {
    throw new UsageError(`--days ${invocation.text("days")} is no number of days.`, {
      cure: "Give a whole number of 1 or more.",
    });
  }
  const runnerStore = await openRunnerStore(invocation, context);
  if (runnerStore === undefined) {
    throw new UsageError("fleetfoot cache lifecycle is about the bucket of a runner.", {
      cure: "Name the runner with --runner, and its file with --config. For caches of this host there is fleetfoot cache prune.",
    });
  }
  const expiry = { prefix: storePrefix(runnerStore.remote, readProjectId(invocation)), days };
  const { environment, stderr } = context;
  const rule = await expiryRuleFor(runnerStore.cache, expiry, {
    ...openStoreTools({ environment, proxies: networkSettings(context).proxies }),
    warn: (message) => stderr.write(`WARNING: ${message}\n`),
  });
  context.stdout.write(`${JSON.stringify(rule.value, undefined, 2)}\n`);
  if (!invocation.flag("apply")) {
    context.stderr.write(`${rule.advice}\n`);
    return 0;
  }
  if (rule.apply === undefined) throw new UsageError("This rule cannot be set from here.", { cure: rule.advice });
  await rule.apply(context.stop.forced);
  context.stderr.write(`The bucket forgets caches below ${expiry.prefix} after ${days} days from now on.\n`);
  return 0;
};
