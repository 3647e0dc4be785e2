import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChildRunner, startChild } from "./process.ts";
import { testEnvironment, type TestProject } from "./project.ts";

/** `fleetfoot coordinator` in a process of its own, and what it printed about registering. */
export interface ServedProject {
  readonly process: ChildRunner;
  readonly url: string;
  /** For runners that register with an authentication token. */
  readonly token: string;
  readonly registrationToken: string;
}

/** Starts it in the project, on a free port unless one is named. */
export async function serveProject(project: TestProject, words: readonly string[] = []): Promise<ServedProject> {
  const where = words.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const child = startChild(["coordinator", ...where, ...words], {
    directory: project.directory,
    environment: testEnvironment(join(project.directory, "..")),
  });
  await child.printed("--registration-token");
  await child.printed("gitlab-runner run\n\n");
  const output = child.output();
  return {
    process: child,
    url: /^Coordinator at (\S+)$/m.exec(output)?.[1] ?? "",
    token: /--token (glrt-\S+)/.exec(output)?.[1] ?? "",
    registrationToken: /--registration-token (\S+)/.exec(output)?.[1] ?? "",
  };
}

/** A folder somewhere else, with runners of their own processes. */
export interface ElsewhereRunner {
  readonly folder: string;
  /** Runs `fleetfoot register` to its end. */
  register(words: readonly string[]): Promise<string>;
  /** Starts `fleetfoot run`. */
  run(): ChildRunner;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Makes a folder for a runner that has nothing in common with the coordinator's. */
export async function elsewhereRunner(): Promise<ElsewhereRunner> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-elsewhere-"));
  await mkdir(join(folder, "home"));
  const environment = testEnvironment(join(folder, "home"));
  const config = join(folder, "config.toml");
  const running: ChildRunner[] = [];
  return {
    folder,
    async register(words) {
      const child = startChild(
        ["register", "--non-interactive", "--config", config, "--name", "elsewhere", "--executor", "shell", ...words],
        { directory: folder, environment },
      );
      await child.ended;
      return child.output();
    },
    run() {
      const child = startChild(["run", "--config", config], { directory: folder, environment });
      running.push(child);
      return child;
    },
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill("SIGKILL");
      await Promise.all(running.map((child) => child.ended));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
