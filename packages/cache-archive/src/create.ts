import type { ArchiveSummary, CreateArchiveOptions } from "./types.ts";

/** Writes an archive; it appears under its name only when it is complete. */
export async function createArchive(options: CreateArchiveOptions): Promise<ArchiveSummary> {
  throw new Error(`being written: ${options.archivePath}`);
}
