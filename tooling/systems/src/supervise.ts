import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { systemEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";

/** What the supervisor process has to do. */
export interface SupervisorOrder {
  /** Data folder; removed at the end. */
  readonly folder: string;
  /** Program and arguments; without it the supervisor only removes the folder at the end. */
  readonly command?: readonly [string, ...string[]];
  /** The program's whole environment. */
  readonly environment: Environment;
  /** Whether the command is `unshare --pid --fork …`. @default false */
  readonly ownNamespaces?: boolean;
  /** Name of a control group to remove from every tree at the end. */
  readonly controlGroup?: string;
  /** Name of a network interface that goes away with the namespaces; the end waits until it has. */
  readonly networkLink?: string;
}

/** What the supervisor process says on its standard output, a line of JSON each. */
export type SupervisorMessage =
  | { readonly event: "started"; readonly processId: number }
  | { readonly event: "ended"; readonly how: string }
  | { readonly event: "removed" }
  | { readonly event: "left-over"; readonly what: string };

/** A system under supervision. */
export interface Supervised {
  /** Process id of the command. */
  readonly processId: number;
  /** How the command ended; undefined while it runs. */
  endedHow(): string | undefined;
  /** Kills the system and removes its data folder; returns when both are done. A second call waits for the first. */
  stop(): Promise<void>;
}

/**
 * Starts a system so that it ends with this process, however this process ends.
 *
 * @param logFile - receives standard output and standard error of the system
 */
export async function supervise(order: SupervisorOrder, logFile: string): Promise<Supervised> {
  const log = openSync(logFile, "a");
  const supervisor = spawn(
    process.execPath,
    [fileURLToPath(new URL("./supervisor.ts", import.meta.url)), JSON.stringify(order)],
    {
      cwd: "/",
      env: systemEnvironment("/"),
      // A session of its own: Ctrl-C in a terminal, or the kill of our whole group, must not hit it before it has cleaned up.
      detached: true,
      stdio: ["pipe", "pipe", log],
    },
  ) as ChildProcessByStdio<Writable, Readable, null>;
  closeSync(log);
  const supervisorEnded = once(supervisor, "close");
  let endedHow: string | undefined;
  let leftOver: string | undefined;
  let processId = 0;
  const started = new Promise<void>((resolve) => {
    createInterface({ input: supervisor.stdout }).on("line", (line) => {
      const message = JSON.parse(line) as SupervisorMessage;
      if (message.event === "started") processId = message.processId;
      if (message.event === "ended") endedHow = message.how;
      if (message.event === "left-over") leftOver = message.what;
      resolve();
    });
  });
  if (order.command !== undefined) await Promise.race([started, supervisorEnded]);
  // A test that forgets to stop its system must still be able to end; the system then ends with it.
  supervisor.unref();

  let stopping: Promise<void> | undefined;
  return {
    processId,
    endedHow: () => endedHow,
    stop: () => {
      stopping ??= (async () => {
        supervisor.ref();
        supervisor.stdin.end();
        await supervisorEnded;
        if (leftOver !== undefined) throw new Error(`stop: something is left over: ${leftOver}`);
      })();
      return stopping;
    },
  };
}
