import type { CacheTransfer } from "@fleetfoot/job-runner";
import type { Output } from "../context.ts";
import { formatBytes } from "../console/format.ts";

const BAR_WIDTH = 24;

/** Shows how far a transfer is: a bar on a terminal, nothing elsewhere, where the line at the end says it all. */
export function transferLine(output: Output): { show(transfer: CacheTransfer): void; close(): void } {
  let shown = "";
  return {
    show({ direction, bytes, totalBytes }) {
      if (!output.isTerminal) return;
      const done = totalBytes === 0 ? 1 : bytes / totalBytes;
      const bar = "#".repeat(Math.round(done * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
      const line = `${direction} [${bar}] ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
      // Every part that arrives calls; a terminal needs only what looks different.
      if (line === shown) return;
      shown = line;
      output.write(`\r\u001B[2K${line}`);
    },
    close() {
      if (shown !== "") output.write("\r\u001B[2K");
      shown = "";
    },
  };
}
