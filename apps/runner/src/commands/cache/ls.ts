import { printablePath } from "@fleetfoot/cache-archive";
import { openShelf } from "../../cache/open-shelf.ts";
import type { ShelvedCache } from "../../cache/shelf.ts";
import type { CommandAction } from "../../command.ts";
import { formatBytes, formatDuration } from "../../console/format.ts";

/** Prints the caches of a place. */
export const cacheLs: CommandAction = async (invocation, context) => {
  const shelf = await openShelf(invocation, context);
  const caches = await Array.fromAsync(shelf.list(invocation.operands[0] ?? "", context.stop.forced));
  if (invocation.flag("json")) {
    const facts = caches.map(({ name, bytes, modifiedAtMs, usedAtMs }) => ({ name, bytes, modifiedAtMs, usedAtMs }));
    context.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
    return 0;
  }
  const bytes = caches.reduce((sum, cache) => sum + cache.bytes, 0);
  for (const line of table(caches)) context.stdout.write(`${line}\n`);
  context.stderr.write(
    `${caches.length} ${caches.length === 1 ? "cache" : "caches"}, ${formatBytes(bytes)}, in ${shelf.place}\n`,
  );
  return 0;
};

function table(caches: readonly ShelvedCache[]): readonly string[] {
  const now = Date.now();
  const rows = caches.map((cache) => [
    printablePath(cache.name),
    formatBytes(cache.bytes),
    `used ${formatDuration(Math.max(0, now - cache.usedAtMs))} ago`,
  ]);
  const width = (column: number): number => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0));
  return rows.map(([name = "", size = "", age = ""]) => `${name.padEnd(width(0))}  ${size.padStart(width(1))}  ${age}`);
}
