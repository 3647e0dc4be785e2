import { expiryRuleFor } from "../../cache/expiry-rules.ts";
import { readProjectId } from "../../cache/place.ts";
import { openRunnerStore } from "../../cache/runner-store.ts";
import { storePrefix } from "../../cache/store-shelf.ts";
import type { CommandAction } from "../../command.ts";
import { networkSettings } from "../../config-file.ts";
import { UsageError } from "../../errors.ts";
import { openStoreTools } from "../../stores/store-options.ts";

const DEFAULT_DAYS = "14";
/** A hundred years, which each of the clouds takes. */
const MAX_DAYS = 36_500;

/** Prints, or sets, the rule that lets the bucket of a runner forget caches. */
export const cacheLifecycle: CommandAction = async (invocation, context) => {
  const days = readDays(invocation.text("days") ?? DEFAULT_DAYS);
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

function readDays(text: string): number {
  const days = /^\d+$/.test(text) ? Number(text) : 0;
  if (days >= 1 && days <= MAX_DAYS) return days;
  throw new UsageError(`--days ${JSON.stringify(text)} is no number of days.`, {
    cure: `Give a whole number from 1 to ${MAX_DAYS}.`,
  });
}
