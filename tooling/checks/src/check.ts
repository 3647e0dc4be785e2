// The whole of `pnpm check`: every step runs, also after one has failed, so that one run shows all there is to mend.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./process.ts";
import { checkDocuments } from "./steps/documents.ts";
import { checkLayering } from "./steps/layering.ts";
import { checkPackedPackages } from "./steps/packed.ts";
import { repositoryRoot } from "./workspace.ts";

interface Step {
  readonly name: string;
  /** What is wrong, a paragraph each. */
  problems(): Promise<readonly string[]> | readonly string[];
}

const steps: readonly Step[] = [
  program("format", "oxfmt", ["--check", "."]),
  program("lint", "oxlint", ["--type-aware", "--deny-warnings", "."]),
  program("types", "tsc", ["-p", "tsconfig.json"]),
  { name: "layers", problems: checkLayering },
  { name: "documents", problems: checkDocuments },
  { name: "lock file", problems: checkLockFile },
  program("build", "turbo", ["run", "build", "--output-logs=errors-only"]),
  { name: "packages", problems: checkPackedPackages },
  program("dead code", "knip", ["--no-progress"]),
];

let failed = 0;
for (const step of steps) {
  const startedAt = performance.now();
  const problems = await step.problems();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${step.name} (${seconds} s)`);
  for (const problem of problems) console.log(problem.replaceAll(/^/gm, "     "));
  if (problems.length > 0) failed += 1;
}
console.log(failed === 0 ? `All ${steps.length} checks passed.` : `${failed} of ${steps.length} checks failed.`);
process.exitCode = failed === 0 ? 0 : 1;

function program(name: string, command: string, args: readonly string[]): Step {
  return {
    name,
    async problems() {
      const { code, output } = await run(command, args);
      return code === 0 ? [] : [output.trim() || `${command} ended with exit code ${code}.`];
    },
  };
}

/** A lock file that names where its packages were downloaded from works on one network only. */
function checkLockFile(): readonly string[] {
  const lines = readFileSync(join(repositoryRoot, "pnpm-lock.yaml"), "utf8").split("\n");
  return lines.flatMap((line, index) =>
    /tarball:|https?:\/\//.test(line) ? [`pnpm-lock.yaml:${index + 1}: holds a download address.`] : [],
  );
}
