/** Everything of the process that a command may see. Built in `main.ts`, or by a test. */
export interface CliContext {
  readonly environment: Readonly<Record<string, string>>;
  readonly homeDirectory: string;
  readonly isRoot: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stop: StopSignals;
  readonly now: () => number;
  /** Tells another process to read its files again. */
  reload(processId: number): void;
}

/** Where a command writes text for people or programs. */
export interface Output {
  write(text: string): void;
}

/** The ways in which the process is told to end, or to look at its files again. */
export interface StopSignals {
  /** Nothing new; what is on its way to a client may finish. */
  readonly graceful: AbortSignal;
  /** Everything ends now. */
  readonly forced: AbortSignal;
  /** Says that requests are served from now on: until then a signal ends the process at once. */
  onServing(): void;
  /** Calls back whenever a reload was asked for; returns a function that ends it. */
  onReload(callback: () => void): () => void;
}
