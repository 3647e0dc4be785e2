import { printablePath } from "@fleetfoot/cache-archive";
import { openShelf } from "../../cache/open-shelf.ts";
import { nameCure } from "../../cache/shelf.ts";
import type { CommandAction } from "../../command.ts";
import { UsageError } from "../../errors.ts";

/** Removes caches by name; all of them must be there, or none is removed. */
export const cacheRm: CommandAction = async (invocation, context) => {
  const names = new Set(invocation.operands);
  if (names.size === 0)
    throw new UsageError("fleetfoot cache rm needs a name.", { cure: "fleetfoot cache ls prints the names." });
  const { forced } = context.stop;
  const shelf = await openShelf(invocation, context);
  const all = await Array.fromAsync(shelf.list("", forced));
  const found = all.filter(({ name }) => names.has(name));
  for (const { name } of found) names.delete(name);
  if (names.size > 0) {
    throw new UsageError(`There is no cache ${[...names].join(", ")} in ${shelf.place}; nothing was removed.`, {
      cure: nameCure(
        all.map(({ name }) => name),
        [...names],
      ),
    });
  }
  for (const cache of found) {
    await shelf.remove(cache, forced);
    context.stdout.write(`removed ${printablePath(cache.name)}\n`);
  }
  return 0;
};
