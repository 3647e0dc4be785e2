import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { callerEnvironment } from "./environment.ts";
import { repositoryFolder } from "./folders.ts";
import { runProgram } from "./run-program.ts";

interface Outcome {
  readonly status: string | undefined;
  readonly messages: string;
  readonly report: readonly unknown[];
}

describe("describeWithSystem", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-policy-"));
    await writeFile(join(folder, "report.jsonl"), "");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("skips the tests of a system that cannot be had, and reports none", async () => {
    expect(await runFixture("unavailable", "")).toMatchObject({
      status: "skipped",
      report: [],
    });
  });

  it("fails the tests of a system that cannot be had when systems are required", async () => {
    const { status, messages } = await runFixture("unavailable", "required");
    expect(status).toBe("failed");
    expect(messages).toContain("minio cannot be had on this machine: there is no Go");
  });

  it("fails the tests of a system that is there and does not start, required or not", async () => {
    const { status, messages } = await runFixture("broken", "");
    expect(status).toBe("failed");
    expect(messages).toMatch(/start minio: it ended with status 1[^]*no space left/);
  });

  it("runs the tests of a system that starts, and reports its version", async () => {
    const { status, report } = await runFixture("git", "required");
    expect(status).toBe("passed");
    expect(report).toEqual([{ name: "git-server", version: expect.stringMatching(/^\d+\.\d+/) }]);
  });

  /** Runs one fixture in a vitest of its own. */
  async function runFixture(name: string, policy: string): Promise<Outcome> {
    const fixtures = join(import.meta.dirname, "../fixtures/policy");
    const resultFile = join(folder, "result.json");
    const reportFile = join(folder, "report.jsonl");
    const vitest = join(repositoryFolder, "node_modules/vitest/vitest.mjs");
    const environment = callerEnvironment({ FLEETFOOT_SYSTEMS: policy, FLEETFOOT_SYSTEMS_REPORT: reportFile });
    const run = runProgram(
      process.execPath,
      [vitest, "run", "--root", fixtures, "--reporter=json", `--outputFile=${resultFile}`, `${name}.fixture.ts`],
      { environment, folder: fixtures },
    );
    // A failed test is an exit status, too; the result file says which.
    await run.catch(() => {});
    const result = JSON.parse(await readFile(resultFile, "utf8")) as {
      readonly testResults: readonly {
        readonly assertionResults: readonly { readonly status: string; readonly failureMessages: readonly string[] }[];
      }[];
    };
    const [test] = result.testResults.flatMap((file) => file.assertionResults);
    const report = (await readFile(reportFile, "utf8")).split("\n").filter(Boolean);
    return {
      status: test?.status,
      messages: test?.failureMessages.join("\n") ?? "",
      report: report.map((line) => JSON.parse(line) as unknown),
    };
  }
});
