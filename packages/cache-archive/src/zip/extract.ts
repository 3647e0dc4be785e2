import { setImmediate as nextTurn } from "node:timers/promises";
import { CacheArchiveError } from "../errors.ts";
import type { ExtractWork } from "../extract-work.ts";
import { named } from "../extract-work.ts";
import type { InputFile } from "../input-file.ts";
import { printablePath } from "../path-bytes.ts";
import { RestorePlanner } from "../restore-plan.ts";
import type { PlannedEntry, RestorePlan } from "../restore-plan.ts";
import { RestoreTree } from "../restore-tree.ts";
import { SMALL_FILE_BYTES } from "../target-file.ts";
import { readContent, streamContent, WHOLE_ENTRY_BYTES } from "./content.ts";
import { readDirectory } from "./directory.ts";
import type { ZipEntry } from "./directory.ts";

/** After so many entries other work gets its turn. */
const ENTRIES_PER_TURN = 1000;
/** Longer link targets do not exist on any system. */
const MAX_LINK_BYTES = 64 * 1024;

/** @returns how many entries the archive has */
export async function extractZip(work: ExtractWork): Promise<number> {
  const entries = await readDirectory(work.file);
  const plan = await planRestore(entries, work);
  const tree = await RestoreTree.open(work.root, work.restoreSpecialBits);
  for (const { entry, target } of plan.directories) {
    await named(entry, work.signal, async () => await tree.makeDirectory(target));
  }
  await restoreFiles(plan.files, tree, work);
  // Links come after all files, so that no file is written through a link of the same archive.
  for (const { entry, target } of plan.symlinks) {
    await named(entry, work.signal, async () => await restoreSymlink(entry, target, tree, work.file));
  }
  // Inner folders first: an outer one may forbid to enter it.
  for (const { entry, target } of plan.directories.toReversed()) {
    await named(entry, work.signal, async () => await tree.finishDirectory(target, entry));
  }
  return entries.length;
}

async function planRestore(
  entries: readonly ZipEntry[],
  { limits, file }: ExtractWork,
): Promise<RestorePlan<ZipEntry>> {
  const planner = new RestorePlanner<ZipEntry>(limits, file.size);
  for (const [index, entry] of entries.entries()) {
    if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
    planner.add(entry);
  }
  return planner.plan;
}

async function restoreFiles(
  files: readonly PlannedEntry<ZipEntry>[],
  tree: RestoreTree,
  work: ExtractWork,
): Promise<void> {
  const queue = files.values();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const { entry, target } of queue) {
      if (failed) return;
      try {
        await named(entry, work.signal, async () => await restoreFile(entry, target, tree, work));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: work.concurrency }, worker));
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

async function restoreFile(entry: ZipEntry, target: string, tree: RestoreTree, work: ExtractWork): Promise<void> {
  const isShort = entry.bytes <= WHOLE_ENTRY_BYTES && entry.compressedBytes <= WHOLE_ENTRY_BYTES;
  // Checked before the file is made, so that a damaged entry leaves what was there.
  const content = isShort ? await readContent(work.file, entry) : undefined;
  if (content !== undefined && content.length <= SMALL_FILE_BYTES) {
    await tree.writeSmallFile(target, content, entry);
    return;
  }
  const file = await tree.createFile(target);
  try {
    if (content === undefined) {
      await streamContent(work.file, entry, async (piece) => await file.write(piece), work.signal);
    } else {
      await file.write(content);
    }
    await file.finish(entry);
  } catch (error) {
    await file.abandon();
    throw error;
  }
}

async function restoreSymlink(entry: ZipEntry, target: string, tree: RestoreTree, file: InputFile): Promise<void> {
  if (entry.bytes > MAX_LINK_BYTES || entry.compressedBytes > MAX_LINK_BYTES || entry.bytes === 0) {
    const entryName = printablePath(entry.name);
    const message = `entry "${entryName}" is a link, but its target has ${entry.bytes} bytes`;
    throw new CacheArchiveError({ code: "malformed", message, entryName });
  }
  await tree.createSymlink(target, await readContent(file, entry), entry);
}
