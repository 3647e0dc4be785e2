import type { SelectOptions, Selection } from "./types.ts";

/** Finds what `paths` and `untracked` name, without what `exclude` names. */
export async function selectFiles(options: SelectOptions): Promise<Selection> {
  throw new Error(`being written: ${options.root}`);
}
