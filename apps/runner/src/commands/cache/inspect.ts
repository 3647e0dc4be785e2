import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { sniffFormat } from "@fleetfoot/cache-archive";
import { type HostArchive, listHostArchives } from "@fleetfoot/job-runner";
import { cachePlace } from "../../cache/place.ts";
import type { CommandAction, Invocation } from "../../command.ts";
import type { CliContext } from "../../context.ts";
import { UsageError } from "../../errors.ts";
import { formatBytes } from "../../console/format.ts";

/** Prints what is known of one archive: a cache by its name, or any file. */
export const cacheInspect: CommandAction = async (invocation, context) => {
  const [name, ...others] = invocation.operands;
  if (name === undefined || others.length > 0) {
    throw new UsageError("fleetfoot cache inspect needs one name of a cache, or one file.", {
      cure: "fleetfoot cache ls prints the names.",
    });
  }
  const archive = await find(name, invocation, context);
  const format = (await sniffFormat(archive.path)) ?? "unknown";
  const facts = {
    path: archive.path,
    format,
    bytes: archive.bytes,
    modifiedAt: new Date(archive.modifiedAtMs).toISOString(),
    metadata: archive.metadata,
  };
  if (invocation.flag("json")) {
    context.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
    return 0;
  }
  const { metadata, bytes, ...rest } = facts;
  const rows = { ...rest, size: formatBytes(bytes), ...metadata };
  for (const [label, value] of Object.entries(rows)) context.stdout.write(`${`${label}:`.padEnd(12)} ${value}\n`);
  return 0;
};

type Inspected = Pick<HostArchive, "path" | "bytes" | "modifiedAtMs" | "metadata">;

async function find(name: string, invocation: Invocation, context: CliContext): Promise<Inspected> {
  const { cacheDirectory } = cachePlace(invocation, context);
  for await (const archive of listHostArchives(cacheDirectory)) if (archive.name === name) return archive;
  const path = resolve(context.workingDirectory, name);
  try {
    const { size, mtimeMs } = await stat(path);
    return { path, bytes: size, modifiedAtMs: mtimeMs, metadata: {} };
  } catch (cause) {
    throw new UsageError(`There is neither a cache ${name} in ${cacheDirectory} nor such a file.`, {
      cure: "fleetfoot cache ls prints the names.",
      cause,
    });
  }
}
