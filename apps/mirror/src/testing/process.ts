import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** `fleetfoot-mirror` in a process of its own. */
export interface ChildMirror extends AsyncDisposable {
  /** Base URL of the first address that it printed. */
  readonly url: string;
  readonly port: number;
  readonly operatorsUrl: string;
  readonly processId: number;
  /** All that it has printed. */
  output(): string;
  /** Reads no more of what it prints, as somebody who has gone. */
  stopReading(): void;
  kill(signal: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

export interface CommandResult {
  readonly code: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function runMirror(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", main, ...words], {
    env: { PATH: process.env["PATH"] ?? "", ...environment },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals];
  return { code: code ?? signal, stdout, stderr };
}

/**
 * Starts `serve` and waits until it serves.
 *
 * @param options - `isFirst`: whether it is the first process of what it sees, as in a container. @default false
 */
export async function startMirror(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  { isFirst = false }: { readonly isFirst?: boolean } = {},
): Promise<ChildMirror> {
  const around = isFirst ? ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] : [];
  const serve = ["--conditions=@fleetfoot/source", main, "serve", "--operators", "127.0.0.1:0", ...words];
  const [program = process.execPath, ...rest] = [...around, process.execPath, ...serve];
  const child = spawn(program, rest, {
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes("Docker engines use it")) resolve();
      });
    }
    void ended.then(() => reject(new Error(`it ended without serving:\n${output}`)));
  });
  const started = child.pid ?? 0;
  const processId = isFirst ? Number(readFileSync(`/proc/${started}/task/${started}/children`, "utf8")) : started;
  const url = (/serving on (\S+)/.exec(output)?.[1] ?? "").replace("0.0.0.0", "127.0.0.1");
  return {
    url,
    port: Number(new URL(url).port),
    processId,
    operatorsUrl: /for operators: (\S+)\//.exec(output)?.[1] ?? "",
    output: () => output,
    stopReading() {
      child.stdout.destroy();
      child.stderr.destroy();
    },
    kill: (signal) => void (isFirst ? process.kill(processId, signal) : child.kill(signal)),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
