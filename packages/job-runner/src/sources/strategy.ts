/** How a job gets its sources. @see job-execution 1.8 */
export type GitStrategy = "fetch" | "clone" | "none" | "empty";

/**
 * Reads `GIT_STRATEGY`.
 *
 * @param text - value of the variable, if there is one
 * @param allowFetch - what the coordinator prefers where the job does not say
 * @returns with a line for the log when the value is none that exists
 */
export function gitStrategy(
  text: string | undefined,
  allowFetch: boolean,
): { strategy: GitStrategy; warning?: string } {
  const preferred = allowFetch ? "fetch" : "clone";
  switch (text) {
    case undefined:
    case "":
      return { strategy: preferred };
    case "fetch":
    case "clone":
    case "none":
    case "empty":
      return { strategy: text };
    default:
      return {
        strategy: preferred,
        warning: `GIT_STRATEGY: expected fetch, clone, none or empty, got ${JSON.stringify(text)}; using ${preferred}`,
      };
  }
}
