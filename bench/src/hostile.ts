// 2,000 jobs with a coordinator that answers 30 % of all requests with a fault: none lost, none run twice, every log whole.
import { hostileRun } from "./hostile-run.ts";
import { fleetfootProgram } from "./process.ts";

const JOBS = 2000;
const CONCURRENT = 8;
const FAULT_RATIO = 0.3;
const SEED = 1;

export async function measure(): Promise<void> {
  const facts = await hostileRun({
    jobs: Number(process.argv[3] ?? JOBS),
    concurrent: CONCURRENT,
    faultRatio: FAULT_RATIO,
    seed: SEED,
    program: [fleetfootProgram],
    onProgress: (ended) => console.log(`  ${ended} jobs have ended`),
  });
  const { failed, notOnce, wrongLogs } = facts;
  console.log(
    `${process.argv[3] ?? JOBS} jobs, ${CONCURRENT} at a time, in ${(facts.durationMs / 60_000).toFixed(1)} min; ${facts.requests} requests, ${facts.faults} of them with a fault`,
  );
  console.log(
    `lost or failed: ${failed.length}; not run once: ${notOnce.length}; logs not byte-exact: ${wrongLogs.length}`,
  );
  for (const problem of [...failed, ...notOnce, ...wrongLogs]) console.log(`  ${problem}`);
  console.log(`open sockets to the coordinator: at most ${facts.maxSockets}`);
  console.log(
    `resident memory: ${facts.first.residentMb.toFixed(0)} MB after a tenth of the jobs, ${facts.last.residentMb.toFixed(0)} MB at the end, ${facts.last.peakResidentMb.toFixed(0)} MB at most; heap in use ${facts.first.heapMb.toFixed(1)} and ${facts.last.heapMb.toFixed(1)} MB`,
  );
  if (failed.length + notOnce.length + wrongLogs.length > 0) process.exitCode = 1;
}
