import { spawn } from "node:child_process";
import type { Environment } from "./environment.ts";

/** How to run a program to its end. */
export interface RunOptions {
  /** The program's whole environment. */
  readonly environment: Environment;
  /** Working folder. @default the caller's */
  readonly folder?: string;
}

/** A program ended with a status other than 0; the message carries the end of what it printed. */
export class ProgramFailedError extends Error {
  override readonly name = "ProgramFailedError";
  /** Standard output and standard error in the order they came. */
  readonly output: string;

  constructor(command: string, ending: string, output: string) {
    super(`${command}: ${ending}\n${output.trim().split("\n").slice(-30).join("\n")}`);
    this.output = output;
  }
}

/**
 * Runs a program to its end.
 *
 * @returns what it wrote to standard output
 * @throws {ProgramFailedError} it ended with another status than 0 or by a signal
 */
export function runProgram(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.folder,
      env: options.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let standardOutput = "";
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      standardOutput += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) resolve(standardOutput);
      else reject(new ProgramFailedError([command, ...args].join(" "), signal ?? `exit status ${code}`, output));
    });
  });
}
