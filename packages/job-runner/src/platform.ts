import type { ChildProcess, SpawnOptions } from "node:child_process";

/** Waits; rejects with the signal's reason when it is aborted. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Starts a process. */
export type Spawn = (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;
