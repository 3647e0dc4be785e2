import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { printablePath, sniffFormat } from "@fleetfoot/cache-archive";
import { openShelf } from "../../cache/open-shelf.ts";
import { type CacheShelf, type InspectedCache, nameCure } from "../../cache/shelf.ts";
import type { CommandAction } from "../../command.ts";
import { formatBytes } from "../../console/format.ts";
import { UsageError } from "../../errors.ts";

/** Prints what is known of one archive: a cache by its name, or any file. */
export const cacheInspect: CommandAction = async (invocation, context) => {
  const [name, ...others] = invocation.operands;
  if (name === undefined || others.length > 0) {
    throw new UsageError("fleetfoot cache inspect needs one name of a cache, or one file.", {
      cure: "fleetfoot cache ls prints the names.",
    });
  }
  const { forced } = context.stop;
  const shelf = await openShelf(invocation, context);
  const archive =
    (await shelf.inspect(name, forced)) ??
    (await inspectFile(resolve(context.workingDirectory, name))) ??
    (await refuse(name, shelf, forced));
  const { path, bytes, modifiedAtMs, metadata } = archive;
  const facts = {
    ...(path === undefined ? { place: shelf.place } : { path, format: await formatOf(path) }),
    bytes,
    modifiedAt: new Date(modifiedAtMs).toISOString(),
    metadata,
  };
  if (invocation.flag("json")) {
    context.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
    return 0;
  }
  const { metadata: _, bytes: __, ...rest } = facts;
  const rows = { ...rest, size: formatBytes(bytes), ...metadata };
  for (const [label, value] of Object.entries(rows))
    context.stdout.write(`${printablePath(`${label}:`.padEnd(12))} ${printablePath(value)}\n`);
  return 0;
};

async function inspectFile(path: string): Promise<InspectedCache | undefined> {
  try {
    const facts = await stat(path);
    if (!facts.isFile()) return undefined;
    return { path, bytes: facts.size, modifiedAtMs: facts.mtimeMs, metadata: {} };
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw error;
  }
}

async function refuse(name: string, shelf: CacheShelf, signal: AbortSignal): Promise<never> {
  const names = (await Array.fromAsync(shelf.list("", signal))).map((cache) => cache.name);
  throw new UsageError(`There is neither a cache ${name} in ${shelf.place} nor such a file.`, {
    cure: nameCure(names, [name]),
  });
}

/** The reader takes everything that it does not know for a zip, to say what is wrong with it; here it must really be one. */
async function formatOf(path: string): Promise<string> {
  const format = await sniffFormat(path);
  if (format !== "zip") return format;
  await using file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
  if (buffer.toString("latin1") === "PK") return format;
  throw new UsageError(`${path} is no archive: neither zip, nor tar with zstd, nor gzip.`);
}
