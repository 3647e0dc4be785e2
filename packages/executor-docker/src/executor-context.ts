import type { Engine } from "./engine/engine.ts";
import type { Usage } from "./garbage/usage.ts";
import type { DockerExecutorOptions } from "./types.ts";

/** What all jobs of an executor have in common, its defaults filled in. */
export interface ExecutorContext {
  readonly engine: Engine;
  readonly options: DockerExecutorOptions &
    Required<
      Pick<DockerExecutorOptions, "now" | "randomHex" | "reconnectMs" | "silenceCheckMs" | "sleep" | "stopGraceMs">
    >;
  readonly usage: Usage;
  readonly userId: number | undefined;
  /** Remembers whether this host and the engine see the same files. */
  readonly sharesFiles: (probe: (signal: AbortSignal) => Promise<boolean>, signal: AbortSignal) => Promise<boolean>;
}
