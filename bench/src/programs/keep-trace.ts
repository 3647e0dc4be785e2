// Keeps what a process prints as the log of a job: keep-trace.ts LOG DIRECTORY LIMIT_BYTES TIMESTAMPS VALUE...
import { spawn } from "node:child_process";
import { pipeline } from "node:stream/promises";

import { openJobTrace } from "@fleetfoot/job-trace";

const [log = "", directory = "", limitBytes = "", timestamps = "", ...maskedValues] = process.argv.slice(2);
const trace = await openJobTrace({
  directory,
  maskedValues,
  limitBytes: Number(limitBytes),
  timestamps: timestamps === "timestamps",
});
const startedAt = performance.now();
await pipeline(spawn("cat", [log]).stdout, trace.openStream({ source: "job", channel: "stdout" }));
await trace.close();
const milliseconds = performance.now() - startedAt;
const { size, checksum } = trace;
await trace[Symbol.asyncDispose]();
// Whoever started it may still ask for facts, and ends it by disconnecting.
process.channel?.ref();
process.send?.({ milliseconds, size, checksum });
