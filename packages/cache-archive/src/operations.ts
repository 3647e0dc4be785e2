// What takes long anyway is loaded when it is asked for: whoever only restores waits for nothing that packs, and a program that only shows names for nothing at all.

import type {
  ArchiveSummary,
  CompareTreeOptions,
  CreateArchiveOptions,
  TreeState,
  WriteArchiveOptions,
} from "./types.ts";

/**
 * Writes an archive. It is made beside `archivePath` and takes that place when it is complete; after any failure, also a
 * killed process or a full disk, an older archive is still there, whole.
 *
 * @throws {CacheArchiveError} `outside-root`, `duplicate-name`: entries that cannot be archived; `entry-changed`: a file
 *   vanished since it was listed; `no-space`, `io`: reading or writing failed; `invalid-option`
 * @throws the signal's reason when it aborts
 */
export async function createArchive(options: CreateArchiveOptions): Promise<ArchiveSummary> {
  const { createArchive: create } = await import("./create.ts");
  return await create(options);
}

/**
 * Writes an archive to a sink that need not seek, such as an upload. What the sink got before a failure is no archive.
 *
 * @throws as {@link createArchive}
 */
export async function writeArchive(options: WriteArchiveOptions): Promise<ArchiveSummary> {
  const { sink } = options;
  // Nobody else listens while what packs is loaded, which then asks whether the sink has failed.
  sink.on("error", nothing);
  try {
    const { writeArchive: write } = await import("./create.ts");
    return await write(options);
  } finally {
    sink.off("error", nothing);
  }
}

/**
 * Whether a tree is still what the archive holds, by the manifest that was written when it was archived or restored. One walk without
 * reading content, on another thread.
 *
 * Inode, length, owner, mode, modification and change time of everything are compared; no program can set the change time, so a file
 * that was changed and got its old time back is noticed, as is one that was added with an old time, and one that is gone. Where only
 * the change time or the inode differs, the content decides.
 *
 * @returns `unknown` without a usable manifest: it is missing or damaged, or belongs to another archive or another folder
 * @throws {CacheArchiveError} `io`
 * @throws the signal's reason when it aborts
 */
export async function compareTree(options: CompareTreeOptions): Promise<TreeState> {
  const { compareTree: compare } = await import("./manifest/tree-manifest.ts");
  return await compare(options);
}

/**
 * Completes what restores into a root had begun when their process died, or clears it away when they had not begun to change the root.
 *
 * `extractArchive` does it by itself. Whoever uses the root without restoring into it, such as a job without a cache, calls this
 * before: a process that dies while it replaces a tree that was there leaves a mixed one. Restores that are still going on, in this
 * process or any other one, also of another container or machine, are left alone.
 *
 * @param root - absolute; one that does not exist holds nothing to complete
 * @param options.signal - stops it; the next call goes on with what is left then
 * @returns how many restores were completed
 * @throws {CacheArchiveError} one cannot be completed, for instance because a folder is in the place of a file by now. Nothing is left to be
 *   completed after that, and the root must not be trusted
 * @throws the signal's reason when it aborts
 */
export async function finishRestores(root: string, options: { readonly signal?: AbortSignal } = {}): Promise<number> {
  const { finishRestores: finish } = await import("./restore/finish-restores.ts");
  return await finish(root, options);
}

function nothing(): void {
  // The archive fails with it.
}
