import { lstat } from "node:fs/promises";

import { storedPath } from "./archive-files.ts";
import { readPlainFile, replacePlainFile } from "../plain-files.ts";

/** An object that is known to be the same as the archive on this host. */
export interface StoredArchive {
  readonly objectName: string;
  readonly version: string;
}

/** The file, as its system tells of it. */
export interface ArchiveFacts {
  readonly size: number;
  readonly mtimeMs: number;
}

/** Kept beside `cache.zip`. */
interface StoredRecord {
  /** Of the archive that the record belongs to; another file of that name was made or downloaded by somebody else. */
  readonly archiveBytes: number;
  readonly archiveModifiedAtMs: number;
  readonly stored: StoredArchive;
}

/**
 * Remembers which object an archive became. Its time is later than the archive's, so without this the next restore on this
 * host would download what lies here already.
 *
 * @param archive - the file that was uploaded; when another job has replaced it meanwhile, nothing is remembered
 */
export async function rememberStored(archivePath: string, archive: ArchiveFacts, stored: StoredArchive): Promise<void> {
  const { size, mtimeMs } = archive;
  const found = await lstat(archivePath);
  if (found.size !== size || found.mtimeMs !== mtimeMs) return;
  const record: StoredRecord = { archiveBytes: size, archiveModifiedAtMs: mtimeMs, stored };
  await replacePlainFile(storedPath(archivePath), JSON.stringify(record));
}

/** The object that an archive became; `undefined` when nothing is known of it. */
export async function recallStored(
  archivePath: string,
  { size, mtimeMs }: ArchiveFacts,
): Promise<StoredArchive | undefined> {
  const record = await readRecord(archivePath);
  return record?.archiveBytes === size && record.archiveModifiedAtMs === mtimeMs ? record.stored : undefined;
}

async function readRecord(archivePath: string): Promise<Partial<StoredRecord> | undefined> {
  const text = await readPlainFile(storedPath(archivePath));
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // Torn by a crash: then the times decide, as they do without a record.
    return undefined;
  }
}
