/** Makes the calls of the file system for one disk, which may hang. */
export interface FileCalls {
  /**
   * Makes a call, or gives it up.
   *
   * @param options - `onLate` gets what still came of a call that was given up
   */
  run<Result>(call: () => Promise<Result>, options?: { readonly onLate?: (result: Result) => void }): Promise<Result>;
  /** Makes a call that nobody needs the result of, as late as it may be; waits for it as long as there is hope. */
  afterwards(call: () => Promise<unknown>): Promise<void>;
}

/** For a disk that is taken to answer. */
export const callsAtOnce: FileCalls = {
  run: (call) => call(),
  afterwards: async (call) => void (await call()),
};
