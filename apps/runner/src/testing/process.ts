import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** `fleetfoot` in a process of its own. */
export interface ChildRunner {
  readonly processId: number;
  /** Resolves when it has printed the text, on either stream; rejects when it ends before. */
  printed(text: string): Promise<void>;
  /** All that it has printed. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal again and again, as somebody without patience does; resolves as `ended` does. */
  killUntilEnded(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** Reads nothing more of what it prints, as a reader that ends. */
  stopReading(): void;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

const AGAIN_MS = 50;

/** Starts it from its sources. */
export function startChild(
  words: readonly string[],
  options: { readonly directory: string; readonly environment: Readonly<Record<string, string>> },
): ChildRunner {
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", MAIN, ...words], {
    cwd: options.directory,
    env: options.environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      tell();
    });
  }
  let hasEnded = false;
  const ended = once(child, "close").then(([code, signal]) => {
    hasEnded = true;
    tell();
    return (code ?? signal) as number | NodeJS.Signals;
  });
  return {
    processId: child.pid ?? 0,
    output: () => output,
    ended,
    kill: (signal) => void child.kill(signal),
    async killUntilEnded(signal) {
      const again = setInterval(() => child.kill(signal), AGAIN_MS);
      try {
        return await ended;
      } finally {
        clearInterval(again);
      }
    },
    stopReading: () => {
      child.stdout.destroy();
    },
    printed(text) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          if (!output.includes(text) && !hasEnded) return;
          listeners.delete(look);
          if (output.includes(text)) resolve();
          else reject(new Error(`it ended without printing "${text}", but:\n${output}`));
        };
        listeners.add(look);
        look();
      });
    },
  };
}
