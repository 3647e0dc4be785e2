// Takes one job, runs its script, and reports it: node tiny-runner.ts https://gitlab.example.com glrt-...
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCoordinatorClient, mapFailureReason, Secret, startJobReporter } from "@fleetfoot/coordinator-client";
import type { FailureReason, JobPayload } from "@fleetfoot/coordinator-client";
import { errorLine, openJobTrace } from "@fleetfoot/job-trace";

const [url = "", token = ""] = process.argv.slice(2);
const features = { variables: true, raw_variables: true, masking: true, return_exit_code: true };
const info = { name: "tiny-runner", version: "1.0.0", executor: "shell", features };
const client = createCoordinatorClient({ url, info });
const { job, message } = await client.requestJob({ token: new Secret(token), systemId: "s_0123456789ab" });
console.log(job === undefined ? `no job. ${message}` : `job ${job.id}: ${await runJob(job)}`);
await client.close();

async function runJob(job: JobPayload): Promise<string> {
  const credentials = { id: job.id, token: new Secret(job.token) };
  const { outcome } = await client.updateJob(credentials, { state: "running" });
  if (outcome === "abort") return "no longer wanted";
  const folder = await mkdtemp(join(tmpdir(), "tiny-runner-"));
  const secrets = job.variables.filter((variable) => variable.masked).map((variable) => variable.value);
  const trace = await openJobTrace({ directory: folder, maskedValues: [...secrets, job.token] });
  const environment: Record<string, string> = { PATH: process.env["PATH"] ?? "", HOME: folder };
  for (const { key, value, file } of job.variables) {
    environment[key] = file ? join(folder, key) : value;
    if (file) await writeFile(join(folder, key), value);
  }
  const script = job.steps.find((step) => step.name === "script")?.script.join("\n") ?? "";
  // A process group of its own, so that stopping it stops all that the script has started.
  const shell = spawn("bash", ["-e", "-c", script], { cwd: folder, env: environment, detached: true });
  shell.stdin.end();
  shell.stdout.pipe(trace.openStream({ source: "job", channel: "stdout" }));
  shell.stderr.pipe(trace.openStream({ source: "job", channel: "stderr" }));
  let stopped: FailureReason | undefined;
  const stop = (reason: FailureReason): void => {
    stopped ??= reason;
    const runs = shell.exitCode === null && shell.signalCode === null;
    if (runs && shell.pid !== undefined) process.kill(-shell.pid, "SIGKILL");
  };
  const timer = setTimeout(() => stop("job_execution_timeout"), job.runner_info.timeout * 1000);
  const updateJob = client.updateJob.bind(client, credentials);
  const calls = { updateJob, patchTrace: client.patchTrace.bind(client, credentials) };
  const onCancel = (): void => stop("job_canceled");
  const reporter = startJobReporter({ calls, trace, onCancel, onAbort: onCancel });
  const [exitCode] = (await once(shell, "close").catch(() => [127])) as [number | null];
  clearTimeout(timer);
  const reason = mapFailureReason(stopped ?? "script_failure", job.features.failure_reasons ?? []);
  const failure = { reason, exitCode: exitCode ?? 1 };
  const words = stopped ?? `exit status ${failure.exitCode}`;
  if (exitCode !== 0) trace.openStream({ source: "runner", channel: "stdout" }).end(errorLine(`Job failed: ${words}`));
  await trace.close();
  const { outcome: told } = await (exitCode === 0 ? reporter.succeed() : reporter.fail(failure));
  await trace[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
  return `${exitCode === 0 ? "succeeded" : words} (report ${told})`;
}
