// What `npm start` shows: the pipeline of the example project, run twice. The first run fills the caches, the second one finds them.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../../..");
const project = join(root, "examples/static-site");
/** Elsewhere when a folder is named, as the test does. */
const state = resolve(process.argv[2] ?? join(project, ".fleetfoot"));
const token = `demo-${randomBytes(12).toString("hex")}`;

const seenBefore = existsSync(join(state, "caches"));
announce(
  "First run",
  seenBefore ? "there are caches of an earlier start" : "there are no caches yet, so every one is a miss",
);
const first = await runPipeline();
announce("Second run", "the caches of the first one are found");
const second = first.code === 0 ? await runPipeline() : first;

if (first.code === 0 && second.code === 0) {
  const leaks = await filesThatHold(state, token);
  console.log(
    `\nThe pipeline took ${seconds(first.milliseconds)} at first and ${seconds(second.milliseconds)} with its caches.`,
  );
  console.log(
    leaks.length === 0
      ? "Its secret was printed by a job and is in no file: the logs show [MASKED]."
      : `Its secret is in ${leaks.join(", ")}. This must not happen; please report it.`,
  );
  console.log(`Everything lies in ${relative(root, state)}. Try it in a project of your own: npx fleetfoot exec`);
  process.exitCode = leaks.length === 0 ? 0 : 1;
} else {
  console.log(`\nThe pipeline failed. The logs named above say why; they lie in ${relative(root, state)}.`);
  process.exitCode = 1;
}

function announce(title: string, remark: string): void {
  console.log(`\n=== ${title} of the pipeline in ${relative(root, project)}: ${remark} ===\n`);
}

function runPipeline(): Promise<{ readonly code: number; readonly milliseconds: number }> {
  const startedAt = performance.now();
  const words = [
    "--conditions=@fleetfoot/source",
    join(root, "apps/runner/src/main.ts"),
    "exec",
    "--secret",
    "DEPLOY_TOKEN",
    "--state-dir",
    state,
  ];
  return new Promise((settle, reject) => {
    const child = spawn(process.execPath, words, {
      cwd: project,
      stdio: "inherit",
      env: { ...process.env, DEPLOY_TOKEN: token },
    });
    child.on("error", reject);
    child.on("close", (code) => settle({ code: code ?? 1, milliseconds: performance.now() - startedAt }));
  });
}

async function filesThatHold(folder: string, text: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found: string[] = [];
  for (const path of paths) if ((await readFile(path)).includes(text)) found.push(relative(root, path));
  return found;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
