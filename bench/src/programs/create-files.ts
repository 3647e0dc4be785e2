// The file system's own share of a restore: `create-files.ts SOURCE TARGET` makes the folders, files and links of a tree with as many
// bytes of zeros in each file, on all processors, without times and modes. Prints the milliseconds of the making.
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readlinkSync, symlinkSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

interface Plan {
  readonly files: readonly (readonly [path: string, bytes: number])[];
  readonly next: SharedArrayBuffer;
}

const BLOCK_BYTES = 1024 * 1024;
const FILES_AT_ONCE = 64;

if (isMainThread) await create(process.argv[2] ?? "", process.argv[3] ?? "");
else makeFiles(workerData as Plan);

async function create(source: string, target: string): Promise<void> {
  const names = readdirSync(source, { recursive: true, encoding: "utf8" }).sort();
  const found = names.map((name) => ({ path: join(target, name), stats: lstatSync(join(source, name)), name }));
  const files = found.filter(({ stats }) => stats.isFile()).map(({ path, stats }) => [path, stats.size] as const);
  const plan: Plan = { files, next: new SharedArrayBuffer(4) };
  const workers = Array.from(
    { length: availableParallelism() },
    () => new Worker(import.meta.filename, { workerData: plan }),
  );
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("online", resolve))));

  const startedAt = performance.now();
  mkdirSync(target);
  for (const { path, stats } of found) if (stats.isDirectory()) mkdirSync(path);
  const done = workers.map((worker) => new Promise((resolve) => worker.once("message", resolve)));
  for (const worker of workers) worker.postMessage("go");
  await Promise.all(done);
  for (const { path, stats, name } of found) {
    if (stats.isSymbolicLink()) symlinkSync(readlinkSync(join(source, name)), path);
  }
  console.log(performance.now() - startedAt);
}

function makeFiles({ files, next }: Plan): void {
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const counter = new Int32Array(next);
  parentPort?.once("message", () => {
    for (let from = take(counter); from < files.length; from = take(counter)) {
      for (const [path, bytes] of files.slice(from, from + FILES_AT_ONCE)) {
        const file = openSync(path, "wx");
        for (let left = bytes; left > 0;) left -= writeSync(file, zeros, 0, Math.min(left, BLOCK_BYTES));
        closeSync(file);
      }
    }
    parentPort?.postMessage("done");
  });
}

function take(counter: Int32Array): number {
  return Atomics.add(counter, 0, FILES_AT_ONCE);
}
