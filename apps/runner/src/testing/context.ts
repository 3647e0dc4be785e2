import type { CliContext } from "../context.ts";

/** A context for tests that keeps what was printed. */
export interface TestContext extends CliContext {
  /** Everything on standard output. */
  printed(): string;
  /** Everything on standard error. */
  complained(): string;
  readonly stopGracefully: (reason: Error) => void;
  readonly stopAtOnce: (reason: Error) => void;
  readonly reload: () => void;
  readonly abandon: () => void;
}

/** Makes a context in which nothing comes from the process that runs the tests, except the PATH. */
export function testContext(
  given: Partial<Pick<CliContext, "environment" | "workingDirectory" | "homeDirectory">> = {},
): TestContext {
  const printed: string[] = [];
  const complained: string[] = [];
  const graceful = new AbortController();
  const forced = new AbortController();
  const reloads = new Set<() => void>();
  const abandons = new Set<() => string>();
  return {
    environment: given.environment ?? {},
    workingDirectory: given.workingDirectory ?? "/nonexistent",
    homeDirectory: given.homeDirectory ?? "/nonexistent",
    isRoot: false,
    stdout: { write: (text) => printed.push(text), isTerminal: false, columns: undefined },
    stderr: { write: (text) => complained.push(text), isTerminal: false, columns: undefined },
    stop: {
      graceful: graceful.signal,
      forced: forced.signal,
      onReload(callback) {
        reloads.add(callback);
        return () => reloads.delete(callback);
      },
      onAbandon(callback) {
        abandons.add(callback);
        return () => abandons.delete(callback);
      },
    },
    ask: undefined,
    printed: () => printed.join(""),
    complained: () => complained.join(""),
    stopGracefully: (reason) => graceful.abort(reason),
    stopAtOnce: (reason) => {
      forced.abort(reason);
      graceful.abort(reason);
    },
    reload: () => {
      for (const callback of reloads) callback();
    },
    abandon: () => {
      for (const callback of abandons) callback();
    },
  };
}
