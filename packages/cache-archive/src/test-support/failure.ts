import { CacheArchiveError } from "../errors.ts";

/** The error with which work fails; any other error passes as it is, and success is one. */
export async function failure(work: Promise<unknown>): Promise<CacheArchiveError> {
  try {
    await work;
  } catch (error) {
    if (CacheArchiveError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
