// Loaded into a program before its own code: measures its event loop and its memory, and tells them over the IPC channel when asked.
import { monitorEventLoopDelay } from "node:perf_hooks";

const SAMPLE_MS = 50;
const delay = monitorEventLoopDelay({ resolution: 1 });
let peakResidentBytes = 0;

delay.enable();
setInterval(sample, SAMPLE_MS).unref();
process.on("message", () => {
  sample();
  process.send?.({
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    residentMb: process.memoryUsage.rss() / 1e6,
    peakResidentMb: peakResidentBytes / 1e6,
    heapMb: heapBytes() / 1e6,
  });
  delay.reset();
  peakResidentBytes = 0;
});
// Whoever asks must not keep the program from ending.
process.channel?.unref();

/** What is in use; exact with --expose-gc. */
function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function sample(): void {
  peakResidentBytes = Math.max(peakResidentBytes, process.memoryUsage.rss());
}
