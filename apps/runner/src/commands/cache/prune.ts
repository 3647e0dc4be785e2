import { printablePath } from "@fleetfoot/cache-archive";
import { readAge, readSize } from "../../cache/amounts.ts";
import { openShelf } from "../../cache/open-shelf.ts";
import { choosePruned } from "../../cache/shelf.ts";
import type { CommandAction } from "../../command.ts";
import { UsageError } from "../../errors.ts";
import { formatBytes } from "../../console/format.ts";

/** Removes what was not used for long, or what is too much, and what killed processes left. */
export const cachePrune: CommandAction = async (invocation, context) => {
  const age = invocation.text("older-than");
  const size = invocation.text("max-size");
  if (age === undefined && size === undefined) {
    throw new UsageError("fleetfoot cache prune needs a limit; nothing was removed.", {
      cure: "Give --older-than 14d, --max-size 10GB, or both.",
    });
  }
  const limits = {
    maxAgeMs: age === undefined ? undefined : readAge("older-than", age),
    maxBytes: size === undefined ? undefined : readSize("max-size", size),
  };
  const isDryRun = invocation.flag("dry-run");
  const { forced } = context.stop;
  const shelf = await openShelf(invocation, context);
  const caches = await Array.fromAsync(shelf.list("", forced));
  const pruned = choosePruned(caches, limits, Date.now());
  for (const cache of pruned) {
    if (!isDryRun) await shelf.remove(cache, forced);
    const shown = `${printablePath(cache.name)} (${formatBytes(cache.bytes)})`;
    context.stdout.write(`${isDryRun ? "would remove" : "removed"} ${shown}\n`);
  }
  const left = await shelf.removeLeftovers?.(isDryRun);
  if (left !== undefined && left.files > 0) {
    const shown = `${left.files} ${left.files === 1 ? "file" : "files"} of killed processes (${formatBytes(left.bytes)})`;
    context.stdout.write(`${isDryRun ? "would remove" : "removed"} ${shown}\n`);
  }
  const bytes = pruned.reduce((sum, cache) => sum + cache.bytes, 0);
  const said = isDryRun ? "would be removed from" : "removed from";
  context.stderr.write(`${pruned.length} of ${caches.length} caches, ${formatBytes(bytes)}, ${said} ${shelf.place}\n`);
  return 0;
};
