import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startLocalCoordinator } from "@fleetfoot/local-coordinator";
import type { JobView, NewJob, StartedCoordinator } from "@fleetfoot/local-coordinator";
import { describe, expect, it } from "vitest";
import { importedPackages } from "./layers.ts";
import { run } from "./process.ts";
import { repositoryRoot } from "./workspace.ts";

const program = join(repositoryRoot, "examples/tiny-runner/tiny-runner.ts");

describe("the example tiny-runner", () => {
  it("is shorter than 60 lines and needs two packages only", () => {
    const source = readFileSync(program, "utf8");
    expect(source.trimEnd().split("\n").length).toBeLessThan(60);
    expect(importedPackages(source)).toEqual(["@fleetfoot/coordinator-client", "@fleetfoot/job-trace"]);
  });

  it("runs a job with its variables, masked in the log", async () => {
    await using coordinator = await startLocalCoordinator();
    const { view, log, output } = await runOne(coordinator, {
      variables: [
        { key: "SECRET", value: "s3cret-value", masked: true },
        { key: "CONFIG", value: "in a file", file: true },
      ],
      steps: [{ name: "script", script: ['echo "the secret is $SECRET"', 'cat "$CONFIG" >&2'] }],
    });
    expect(view.status).toBe("success");
    expect(log).toContain("the secret is [MASKED]\n");
    expect(log).toContain("in a file");
    expect(log).not.toContain("s3cret-value");
    expect(view.finalUpdate?.checksum).toBe(view.trace.checksum);
    expect(output).toContain("succeeded (report succeeded)");
  });

  it("reports the exit status of a script that fails", async () => {
    await using coordinator = await startLocalCoordinator();
    const { view, log } = await runOne(coordinator, {
      steps: [{ name: "script", script: ["echo before", "sh -c 'exit 7'", "echo behind"] }],
    });
    expect(view).toMatchObject({ status: "failed", failureReason: "script_failure", exitCode: 7 });
    expect(log).toContain("exit status 7");
    expect(log).not.toContain("behind");
  });

  it("stops everything that a cancelled job has started, and says so", async () => {
    await using coordinator = await startLocalCoordinator();
    const started = new Promise<number>((resolve) => {
      let text = "";
      coordinator.subscribe((event) => {
        if (event.kind !== "trace") return;
        text += Buffer.from(event.bytes).toString();
        const processId = /child (\d+)\n/.exec(text)?.[1];
        if (processId !== undefined) {
          coordinator.cancelJob(event.jobId);
          resolve(Number(processId));
        }
      });
    });
    const { view, output } = await runOne(coordinator, {
      features: { failure_reasons: ["job_canceled"] },
      steps: [{ name: "script", script: ["sleep 600 & echo child $!", "wait"] }],
    });
    expect(view.status).toBe("canceled");
    expect(view.finalUpdate).toMatchObject({ state: "failed", failureReason: "job_canceled" });
    expect(output).toContain("job_canceled");
    await expectToEnd(await started);
  });

  it("stops a job whose time is over", async () => {
    await using coordinator = await startLocalCoordinator();
    const { view } = await runOne(coordinator, {
      runner_info: { timeout: 1 },
      steps: [{ name: "script", script: ["sleep 600"] }],
    });
    expect(view).toMatchObject({ status: "failed", failureReason: "job_execution_timeout" });
  });

  it("says when there is no job", async () => {
    await using coordinator = await startLocalCoordinator();
    const { code, output } = await start(coordinator);
    expect([code, output]).toEqual([0, expect.stringContaining("no job")]);
  });
});

async function runOne(
  coordinator: StartedCoordinator,
  job: NewJob,
): Promise<{ readonly view: JobView; readonly log: string; readonly output: string }> {
  const { id, finished } = coordinator.addJob(job);
  const { code, output } = await start(coordinator);
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  return { view: await finished, log: Buffer.from(await coordinator.readTrace(id)).toString(), output };
}

function start(coordinator: StartedCoordinator) {
  const { token } = coordinator.createRunner();
  return run(process.execPath, ["--conditions=@fleetfoot/source", program, coordinator.url, token]);
}

/** A killed process is there until somebody has collected its status. */
async function expectToEnd(processId: number): Promise<void> {
  await expect
    .poll(() => {
      try {
        return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${processId}/status`, "utf8"))?.[1];
      } catch {
        return "gone";
      }
    })
    .toMatch(/^(?:gone|Z)$/);
}
