#!/usr/bin/env node
import { homedir } from "node:os";
import { enableCompileCache } from "node:module";
import { createInterface } from "node:readline/promises";
import { runCli } from "./cli.ts";
import { StopReason, type CliContext, type Output } from "./context.ts";

const LINGER_MS = 1000;
/** Whoever starts programs, as npx does, passes on what the terminal or the supervisor has sent to both: that is one signal. */
const PASSED_ON_MS = 500;
/** As shells know it. Others end with what any failure ends with, like GitLab Runner. */
const INTERRUPTED = 130;
const graceful = new AbortController();
const forced = new AbortController();
const reloadCallbacks = new Set<() => void>();
const abandonCallbacks = new Set<() => string>();
const firstHeard = new Map<string, number>();
let hasEnded = false;

process.on("SIGQUIT", () => graceful.abort(new StopReason("SIGQUIT")));
process.on("SIGHUP", () => {
  // A terminal that was closed ends what nobody reads any longer; a command that can reload does that instead.
  if (reloadCallbacks.size === 0) stop("SIGHUP");
  for (const callback of reloadCallbacks) callback();
});
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    if (isPassedOn(name)) return;
    // The second one is for people who do not want to wait.
    if (forced.signal.aborted) abandon(name);
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
hasEnded = true;
// What a forced stop could not end must not keep the process.
if (forced.signal.aborted) setTimeout(() => process.exit(), LINGER_MS).unref();

function isPassedOn(signalName: string): boolean {
  const now = performance.now();
  const first = firstHeard.get(signalName);
  if (first === undefined) firstHeard.set(signalName, now);
  return first !== undefined && now - first < PASSED_ON_MS;
}

function abandon(signalName: string): never {
  // All is done and said; only something that nobody needs keeps the process.
  if (hasEnded) process.exit();
  const exitCode = signalName === "SIGINT" ? INTERRUPTED : 1;
  try {
    const consequences = Array.from(abandonCallbacks, (callback) => callback()).join(" ");
    context.stderr.write(
      `fleetfoot: ended at once by a second signal (${signalName}). ${consequences || "What was under way is given up."}\n`,
    );
  } finally {
    process.exit(exitCode);
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
