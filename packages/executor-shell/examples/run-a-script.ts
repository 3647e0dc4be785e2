import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createShellExecutor } from "@fleetfoot/executor-shell";

const root = await mkdtemp(join(tmpdir(), "example-"));
const directories = { builds: root, project: root, temporary: join(root, "tmp"), cache: join(root, "cache") };
const stop = new AbortController();
const { signal } = stop;

const executor = createShellExecutor({ login: false, environment: { PATH: process.env["PATH"] } });
const environment = await executor.prepare({ directories, log: console.log, signal });

// The group that the script started ends with it: `sleep` does not outlive this program.
const script = 'echo "hello from $BASH"; sleep 60 & wait';
setTimeout(() => stop.abort(), 500);
const exit = await environment.run({ script, stdout: process.stdout, stderr: process.stderr, signal });
console.log(`${exit.text}, code ${exit.code}`);
await environment.cleanup({ signal: AbortSignal.timeout(5_000) });
await rm(root, { recursive: true });
