#!/usr/bin/env node
import { homedir } from "node:os";
import { enableCompileCache } from "node:module";
import { createInterface } from "node:readline/promises";
import { runCli } from "./cli.ts";
import { StopReason, type CliContext, type Output } from "./context.ts";

const LINGER_MS = 1000;
const graceful = new AbortController();
const forced = new AbortController();
const reloadCallbacks = new Set<() => void>();
const abandonCallbacks = new Set<() => void>();

process.on("SIGQUIT", () => graceful.abort(new StopReason("SIGQUIT")));
process.on("SIGHUP", () => {
  // A terminal that was closed ends what nobody reads any longer; a command that can reload does that instead.
  if (reloadCallbacks.size === 0) stop("SIGHUP");
  for (const callback of reloadCallbacks) callback();
});
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // The second one is for people who do not want to wait.
    if (forced.signal.aborted) abandon();
    stop(name);
  });
}
// Whoever reads the output has gone, as `head` does when it has enough.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => stop("SIGPIPE"));
// Half of the time until the first job starts goes into compiling modules.
enableCompileCache();

const context: CliContext = {
  environment: Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  ),
  workingDirectory: process.cwd(),
  homeDirectory: homedir(),
  isRoot: process.getuid?.() === 0,
  stdout: outputOf(process.stdout),
  stderr: outputOf(process.stderr),
  stop: {
    graceful: graceful.signal,
    forced: forced.signal,
    onReload(callback) {
      reloadCallbacks.add(callback);
      return () => reloadCallbacks.delete(callback);
    },
    onAbandon(callback) {
      abandonCallbacks.add(callback);
      return () => abandonCallbacks.delete(callback);
    },
  },
  ask: process.stdin.isTTY ? ask : undefined,
};

try {
  process.exitCode = await runCli(process.argv.slice(2), context);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
// What a forced stop could not end must not keep the process.
if (forced.signal.aborted) setTimeout(() => process.exit(), LINGER_MS).unref();

function abandon(): never {
  try {
    for (const callback of abandonCallbacks) callback();
  } finally {
    process.exit(1);
  }
}

function stop(signalName: string): void {
  // In this order, whoever hears of the one can see that it is the other as well.
  forced.abort(new StopReason(signalName));
  graceful.abort(new StopReason(signalName));
}

function outputOf(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => stream.write(text),
    isTerminal: stream.isTTY && process.env["NO_COLOR"] === undefined,
    get columns() {
      return stream.columns;
    },
  };
}

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal: forced.signal });
  } finally {
    lines.close();
  }
}
