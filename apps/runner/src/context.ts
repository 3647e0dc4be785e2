/** Everything of the process that a command may see. Built in `main.ts`, or by a test. */
export interface CliContext {
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute. */
  readonly workingDirectory: string;
  readonly homeDirectory: string;
  readonly isRoot: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stop: StopSignals;
  /** Asks on the terminal; undefined when there is nobody to ask. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
}

/** Where a command writes text for people or programs. */
export interface Output {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width of the terminal in columns; undefined elsewhere. */
  readonly columns: number | undefined;
}

/** The ways in which the process is told to end, or to look at its configuration again. */
export interface StopSignals {
  /** No new work; what runs may finish. */
  readonly graceful: AbortSignal;
  /** Everything that runs is stopped and reported. The reason is a {@link StopReason}. */
  readonly forced: AbortSignal;
  /** Calls back whenever a reload was asked for; returns a function that ends it. */
  onReload(callback: () => void): () => void;
  /**
   * Calls back when the process is about to exit without waiting for anything; what it started must be killed before the callback
   * returns, and it says in a sentence what becomes of what was under way. Returns a function that ends it.
   */
  onAbandon(callback: () => string): () => void;
}

/** Why the process is told to end. */
export class StopReason extends Error {
  override readonly name = "StopReason";
  /** As the operating system names it, for example `SIGTERM`. */
  readonly signalName: string;

  constructor(signalName: string) {
    super(`stopped by ${signalName}`);
    this.signalName = signalName;
  }
}
