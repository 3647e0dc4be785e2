// Runs as a process of its own, started by `supervise.ts`: it starts one system and waits for the end of its own standard
// input. That pipe closes when the test disposes of the system, and also when the test process ends in whatever way,
// SIGKILL included. Then the system is killed and everything it left is removed.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SupervisorMessage, SupervisorOrder } from "./supervise.ts";

const order = JSON.parse(process.argv[2] ?? "{}") as SupervisorOrder;
const kill = order.command === undefined ? async () => {} : start(order.command);

// The reader of our messages may be dead already; that is what we are here for.
process.stdout.on("error", () => {});
process.stdin.on("error", () => {});
process.stdin.resume();
// A socket says "close" after both an end and an error, and a pipe of the shell only "end".
const closed = Promise.race([once(process.stdin, "end"), once(process.stdin, "close")]);
void closed.then(end);

function start(command: readonly [string, ...string[]]): () => Promise<void> {
  const [program, ...args] = command;
  const system = spawn(program, args, {
    cwd: order.folder,
    env: order.environment,
    // A group of its own, so that one kill reaches every process of the system.
    detached: true,
    stdio: ["ignore", 2, 2],
  });
  let running = true;
  const ended = new Promise<void>((resolve) => {
    system.once("error", (error) => {
      running = false;
      tell({ event: "ended", how: error.message });
      resolve();
    });
    system.once("exit", (code, signal) => {
      running = false;
      killGroup(system.pid);
      tell({ event: "ended", how: signal === null ? `it ended with status ${code}` : `it was ended by ${signal}` });
      resolve();
    });
  });
  system.once("spawn", () => tell({ event: "started", processId: system.pid ?? 0 }));
  return async () => {
    // The data is thrown away, so there is nothing to shut down in good order.
    if (running && !killNamespace(system.pid)) killGroup(system.pid);
    await ended;
  };
}

/**
 * Kills the first process of the system's process id namespace. The kernel then ends every process in it before the
 * parent's wait returns, so afterwards nobody writes any more; killing the parent would give no such moment.
 */
function killNamespace(parent: number | undefined): boolean {
  if (order.ownNamespaces !== true) return false;
  try {
    const [first] = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").split(" ");
    return process.kill(Number.parseInt(first ?? "", 10), "SIGKILL");
  } catch {
    // Not born yet, or gone: the group is what remains to be killed.
    return false;
  }
}

function killGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function end(): Promise<void> {
  await kill();
  try {
    if (order.networkLink !== undefined) await removeNetworkLink(order.networkLink);
    if (order.controlGroup !== undefined) await removeControlGroups(order.controlGroup);
    await rm(order.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    tell({ event: "removed" });
  } catch (error) {
    tell({ event: "left-over", what: (error as Error).message });
  }
  process.exit();
}

/** Sockets whose other end went silent keep a network namespace for minutes; its link goes at once when this end of it is deleted. */
async function removeNetworkLink(name: string): Promise<void> {
  // It may be gone already, which is as good.
  spawnSync("ip", ["link", "delete", name], { stdio: "ignore" });
  await untilGone(join("/sys/class/net", name));
}

/** The kernel takes a network namespace apart some time after its last process ended, and gives no sign when it has. */
async function untilGone(path: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (existsSync(path)) {
    if (performance.now() > deadline) throw new Error(`${path} is still there`);
    await sleep(10);
  }
}

/** Containers leave empty groups behind; with version 1 there is one tree per controller, with version 2 a single one. */
async function removeControlGroups(name: string): Promise<void> {
  const root = "/sys/fs/cgroup";
  const trees = (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  for (const folder of [join(root, name), ...trees.map((tree) => join(root, tree.name, name))]) {
    await removeEmptyFolders(folder);
  }
}

async function removeEmptyFolders(folder: string): Promise<void> {
  try {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeEmptyFolders(join(folder, entry.name));
    }
    await rmdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function tell(message: SupervisorMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
