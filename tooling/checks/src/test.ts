// The whole of `npm test`: all tests, then which real systems took part, then one plain line with the counts.
import { mkdtempSync, existsSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runVisibly } from "./process.ts";
import { repositoryRoot } from "./workspace.ts";

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

const folder = mkdtempSync(join(tmpdir(), "fleetfoot-test-"));
const systemsFile = join(folder, "systems.jsonl");
const reportFile = join(folder, "report.json");

try {
  const only = process.argv.slice(2);
  // Where every system is required, they are installed first, so that no test waits for a compiler.
  if (process.env["FLEETFOOT_SYSTEMS"] === "required" && only.length === 0) {
    const code = await runVisibly(process.execPath, [join(repositoryRoot, "tooling/systems/src/main.ts")]);
    if (code !== 0) throw new Error("The real systems could not be installed; the lines above say why.");
  }
  const buildCode = await runVisibly("turbo", ["run", "build", "--output-logs=errors-only"]);
  const testCode =
    buildCode === 0
      ? await runVisibly(
          "vitest",
          ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`, ...only],
          {
            FLEETFOOT_SYSTEMS_REPORT: systemsFile,
          },
        )
      : buildCode;
  console.log(`\nReal systems that took part: ${systemsThatTookPart().join(", ") || "none"}`);
  const counts = readCounts();
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = testCode === 0 && counts.failed === 0 && counts.passed > 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}

/** Each system once, with its version, in alphabetical order. */
function systemsThatTookPart(): readonly string[] {
  if (!existsSync(systemsFile)) return [];
  const lines = readFileSync(systemsFile, "utf8").trim().split("\n");
  const names = lines.map((line) => JSON.parse(line) as { name: string; version?: string });
  return [...new Set(names.map(({ name, version }) => (version ? `${name} ${version}` : name)))].sort();
}

/** A test file that could not even be loaded has no tests to count; it counts as one that failed. */
function readCounts(): { readonly passed: number; readonly failed: number; readonly skipped: number } {
  if (!existsSync(reportFile)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(reportFile, "utf8")) as VitestReport;
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + brokenFiles,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}
