// One transfer between a file and a bucket, as a process of its own: `transfer.ts up|down FILE SETTINGS`. Prints its peak memory, and how long it kept its main thread.
import { open } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { bodyOfFile, downloadToFile } from "@fleetfoot/cache-backend";
import { createS3Store, type S3StoreOptions } from "@fleetfoot/cache-backend-s3";
import { peakMemoryMb } from "../peak-memory.ts";

const [direction = "", path = "", settings = "{}"] = process.argv.slice(2);
const store = createS3Store(JSON.parse(settings) as S3StoreOptions);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
// With a server and this process on the same processors a thread also waits for its turn; what it computes meanwhile is its own doing.
let longestOwnMs = 0;
let before = process.threadCpuUsage();
const turns = setInterval(() => {
  const { user, system } = process.threadCpuUsage(before);
  before = process.threadCpuUsage();
  longestOwnMs = Math.max(longestOwnMs, (user + system) / 1000);
}, 1);
if (direction === "up") {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    await store.put("archive", bodyOfFile(file, size));
  } finally {
    await file.close();
  }
} else {
  await downloadToFile(store, "archive", path, { concurrency: 4 });
}
clearInterval(turns);
const longestBlockMs = delay.max / 1_000_000;
console.log(JSON.stringify({ peakMegabytes: await peakMemoryMb("self"), longestBlockMs, longestOwnMs }));
