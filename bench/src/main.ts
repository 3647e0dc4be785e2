// `npm run bench -- NAME`: one benchmark. Each prints ratios of programs that were measured in the same run, on the same machine.
import { run } from "./process.ts";

const benchmarks: Readonly<Record<string, () => Promise<{ readonly measure: () => Promise<void> }>>> = {
  runner: () => import("./runner.ts"),
  exec: () => import("./exec.ts"),
  "docker-job": () => import("./docker-job.ts"),
  "docker-output": () => import("./docker-output.ts"),
  "cache-archive": () => import("./cache-archive/measure.ts"),
  "cache-backends": () => import("./cache-backends.ts"),
  "cache-job": () => import("./cache-job.ts"),
  coordinator: () => import("./coordinator.ts"),
  hostile: () => import("./hostile.ts"),
  mirror: () => import("./mirror.ts"),
};

const name = process.argv[2];
const load = name === undefined ? undefined : benchmarks[name];
if (load === undefined) {
  console.error(`Usage: npm run bench -- NAME, where NAME is one of ${Object.keys(benchmarks).join(", ")}.`);
  process.exitCode = 1;
} else {
  // What users install is measured, not the sources.
  await run("turbo", ["run", "build", "--filter=fleetfoot", "--filter=fleetfoot-mirror", "--output-logs=errors-only"]);
  await (await load()).measure();
}
