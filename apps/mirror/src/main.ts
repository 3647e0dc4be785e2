#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { constants, homedir } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runCli } from "./cli.ts";

const graceful = new AbortController();
const forced = new AbortController();
let isServing = false;
let stoppedBy: "SIGINT" | "SIGTERM" | undefined;
/** More than all that `serve` waits for at its end: bodies, uploads, and a disk. */
const stopAtMostMs = 80_000;
const afterwardsMs = 2000;
const reloadCallbacks = new Set<() => void>();

for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // Whoever has begun nothing has nothing to end, whatever it waits for.
    if (!isServing || forced.signal.aborted) endBy(name);
    // The second one is for people who do not want to wait.
    if (graceful.signal.aborted) forced.abort(new Error(name));
    else endAfter(stopAtMostMs, name);
    stoppedBy = name;
    graceful.abort(new Error(name));
  });
}

/** A call of the system that a disk does not answer cannot be ended, and keeps the process: nothing else is left then. */
function endAfter(milliseconds: number, name: "SIGINT" | "SIGTERM" | undefined): void {
  const end = (): void => {
    process.stderr.write("ended although a call of the system goes on: does the disk answer?\n");
    if (name === undefined) endWith(Number(process.exitCode));
    else endBy(name);
  };
  // Comes only if something keeps the process.
  setTimeout(end, milliseconds).unref();
}

function endBy(name: "SIGINT" | "SIGTERM"): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
  // The first process of a container cannot send itself a signal.
  endWith(128 + constants.signals[name]);
}

/** Not by `process.exit` alone, which waits for calls that block: of a disk that does not answer, or of a pipe that nobody writes to. */
function endWith(code: number): void {
  if (process.platform !== "win32") {
    // The system ends all threads of a process before it runs another program in it.
    const environment = { ...process.env, NODE_OPTIONS: "" };
    process.execve?.(process.execPath, [process.execPath, "--eval", `process.exit(${code})`], environment);
  }
  process.exit(code);
}

// Whoever reads the output has gone, as `head` does when it has enough; clients are served all the same.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}
process.on("SIGHUP", () => {
  for (const callback of reloadCallbacks) callback();
});
enableCompileCache();

const environment = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
);
process.exitCode = await runCli(process.argv.slice(2), {
  environment,
  homeDirectory: homedir(),
  isRoot: process.getuid?.() === 0,
  stdout: process.stdout,
  stderr: process.stderr,
  now: Date.now,
  reload: (processId) => void process.kill(processId, "SIGHUP"),
  stop: {
    graceful: graceful.signal,
    forced: forced.signal,
    onServing() {
      isServing = true;
      // Node doubles the room for new objects, of which requests make many, again and again: to 128 MiB, however little is kept. What the start
      // needed is enough, and no slower.
      setFlagsFromString("--semi-space-growth-factor=1");
    },
    onReload(callback) {
      reloadCallbacks.add(callback);
      return () => reloadCallbacks.delete(callback);
    },
  },
});
// All is given back; what others print may still be on its way to a slow reader.
if (isServing) endAfter(afterwardsMs, stoppedBy);
