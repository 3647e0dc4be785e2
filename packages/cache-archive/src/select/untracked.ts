import type { spawn } from "node:child_process";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import { pathFromBytes } from "../path-bytes.ts";

/** More than this is not an answer about one project any more. */
const MAX_OUTPUT_BYTES = 1024 ** 3;
const MAX_COMPLAINT_BYTES = 4096;

/**
 * What git does not track below the root, ignored files included.
 *
 * @throws {CacheArchiveError} `io`: git is missing or failed; the message says why
 * @throws the signal's reason when it aborts
 * @see https://git-scm.com/docs/git-ls-files
 */
export async function listUntracked(
  root: string,
  run: typeof spawn,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const output = await runGit(root, run, signal);
  const paths: string[] = [];
  for (let start = 0; start < output.length;) {
    const end = output.indexOf(0, start);
    const stop = end === -1 ? output.length : end;
    // A repository within this one is listed as a folder with a slash at the end.
    const path = pathFromBytes(output.subarray(start, stop)).replace(/\/+$/, "");
    if (path !== "") paths.push(path);
    start = stop + 1;
  }
  return paths;
}

async function runGit(root: string, run: typeof spawn, signal: AbortSignal | undefined): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const stop = signal === undefined ? {} : { signal };
    const git = run("git", ["ls-files", "-o", "-z"], { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...stop });
    const output: Buffer[] = [];
    let bytes = 0;
    let complaint = "";
    const fail = (why: string, cause?: unknown): void =>
      reject(new CacheArchiveError({ code: "io", message: `list untracked files: ${why}`, cause }));
    git.on("error", (error) => {
      if (signal?.aborted === true) reject(signal.reason);
      else fail(errnoOf(error) === "ENOENT" ? "git was not found" : error.message, error);
    });
    if (!hasPipes(git)) return;
    git.stdout.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > MAX_OUTPUT_BYTES) git.kill();
      else output.push(piece);
    });
    git.stderr.on("data", (piece: Buffer) => {
      complaint = (complaint + piece.toString("utf8")).slice(0, MAX_COMPLAINT_BYTES);
    });
    git.on("close", (code) => {
      if (code === 0 && bytes <= MAX_OUTPUT_BYTES) resolve(Buffer.concat(output));
      else fail(complaint.trim().split("\n").at(-1) || `git ended with ${code}`);
    });
  });
}

/** A host without file descriptors left gives neither a process nor pipes, and says so a moment later. */
function hasPipes({ stdout }: { readonly stdout: unknown }): boolean {
  return stdout !== undefined;
}
