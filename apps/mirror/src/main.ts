#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { runCli } from "./cli.ts";

const graceful = new AbortController();
const forced = new AbortController();
const reloadCallbacks = new Set<() => void>();

for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // The second one is for people who do not want to wait.
    if (graceful.signal.aborted) forced.abort(new Error(name));
    graceful.abort(new Error(name));
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
    onReload(callback) {
      reloadCallbacks.add(callback);
      return () => reloadCallbacks.delete(callback);
    },
  },
});
