import { spawn } from "node:child_process";
import { resolve } from "node:path";

/** Absolute path of the repository. */
export const repositoryRoot: string = resolve(import.meta.dirname, "../..");

/** The program as it is installed: built, not from source. */
export const fleetfootProgram: string = resolve(repositoryRoot, "apps/runner/dist/main.js");

/** What one whole process took. */
export interface Measurement {
  readonly milliseconds: number;
  readonly output: string;
}

/**
 * Runs a program to its end and measures it from start to exit.
 *
 * @throws {Error} it ended with another code than 0; the message holds what it printed
 */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<Measurement> {
  return new Promise((settle, reject) => {
    const startedAt = performance.now();
    const child = spawn(command, args, {
      cwd: options.cwd ?? repositoryRoot,
      // As users start it: without the compile cache that this repository keeps for itself.
      env: { ...process.env, NODE_COMPILE_CACHE: undefined, ...options.environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const pieces: Buffer[] = [];
    child.stdout.on("data", (piece: Buffer) => pieces.push(piece));
    child.stderr.on("data", (piece: Buffer) => pieces.push(piece));
    child.on("error", reject);
    child.on("close", (code) => {
      const output = Buffer.concat(pieces).toString("utf8");
      if (code === 0) settle({ milliseconds: performance.now() - startedAt, output });
      else reject(new Error(`${command} ${args.join(" ")} ended with ${code}:\n${output}`));
    });
  });
}
