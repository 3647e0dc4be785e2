import { rm, stat } from "node:fs/promises";
import { makeDirectory, StateDirectoryError } from "@fleetfoot/state-directory";

const base = `${process.env["TMPDIR"] ?? "/tmp"}/state-${process.pid}`;
await makeDirectory(`${base}/runner/jobs`, 0o700);
console.log(`made, mode ${((await stat(`${base}/runner/jobs`)).mode & 0o777).toString(8)}`);
await rm(base, { recursive: true });

try {
  await makeDirectory("/proc/runner/jobs");
} catch (error) {
  if (!StateDirectoryError.isInstance(error)) throw error;
  console.log(error.message);
}
