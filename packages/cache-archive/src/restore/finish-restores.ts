import { errnoOf, toArchiveError } from "../errors.ts";
import { settleStaging } from "./settle.ts";
import { realPathOf } from "./staging-places.ts";

/** As the package has it, loaded when it is needed. */
export async function finishRestores(
  root: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  signal?.throwIfAborted();
  let real: string;
  try {
    real = realPathOf(root);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw toArchiveError(error, `look for unfinished restores into ${root}`);
  }
  try {
    return await settleStaging(real, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `complete a restore into ${root}`);
  }
}
