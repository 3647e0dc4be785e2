// One archive, written or restored by the package as it is installed, as a process of its own. Prints what it took.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { compareTree, createArchive, extractArchive, openSelection } from "@fleetfoot/cache-archive";
import type { ArchiveFormat } from "@fleetfoot/cache-archive";

const [command, archivePath = "", root = "", format = "zip", engine = "parallel", manifestPath = ""] =
  process.argv.slice(2);
const options = {
  archivePath,
  root,
  engine: engine === "streaming" ? ("streaming" as const) : ("parallel" as const),
  ...(manifestPath === "" ? {} : { manifestPath }),
};

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
// A block before the first or after the last tick of the histogram would not be seen.
await pause(50);
const began = performance.now();
if (command === "create") {
  const entries = openSelection({ root, paths: ["."] });
  await createArchive({ ...options, entries, format: format as ArchiveFormat });
} else if (command === "compare") {
  const { state } = await compareTree({ ...options, manifestPath, paths: ["."] });
  if (state !== "unchanged") throw new Error(`the tree is ${state}`);
} else {
  await extractArchive(options);
}
const milliseconds = performance.now() - began;
await pause(50);
console.log(
  JSON.stringify({
    milliseconds,
    longestBlockMs: delay.max / 1e6,
    blockP99Ms: delay.percentile(99) / 1e6,
  }),
);
