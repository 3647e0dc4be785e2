import { CacheArchiveError } from "../errors.ts";
import type { ArchiveOutput } from "../output-file.ts";
import type { ArchiveEntry, CompressionLevel } from "../types.ts";

export interface WriteTarOptions {
  readonly root: string;
  readonly entries: readonly ArchiveEntry[];
  readonly output: ArchiveOutput;
  readonly level: CompressionLevel;
  readonly signal: AbortSignal | undefined;
}

export async function writeTarZstd(_options: WriteTarOptions): Promise<void> {
  throw new CacheArchiveError({ code: "unsupported-format", message: "tarzstd archives are not written yet" });
}
