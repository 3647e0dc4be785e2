import { CacheArchiveError } from "../errors.ts";
import type { ExtractWork } from "../zip/extract.ts";

export async function extractTarZstd(work: ExtractWork): Promise<number> {
  throw new CacheArchiveError({ code: "unsupported-format", message: `${work.file.path} is tar in Zstandard` });
}
