import type { ArchiveSummary, ExtractArchiveOptions } from "./types.ts";

/** Restores an archive below the root. */
export async function extractArchive(options: ExtractArchiveOptions): Promise<ArchiveSummary> {
  throw new Error(`being written: ${options.archivePath}`);
}
