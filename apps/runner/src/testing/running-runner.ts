import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LocalCoordinator } from "@fleetfoot/local-coordinator";
import {
  startTestCoordinator,
  type TestCoordinator,
  type TestCoordinatorOptions,
} from "@fleetfoot/local-coordinator/testing";
import { runCli } from "../cli.ts";
import { StopReason } from "../context.ts";
import { testContext, type TestContext } from "./context.ts";
import { testEnvironment } from "./project.ts";

/** A coordinator on a port of this machine, and a folder for the runners of it. */
export interface RunnerWorld {
  readonly folder: string;
  readonly coordinator: LocalCoordinator;
  /** The same with its switches for faults and the record of what it was asked. */
  readonly server: TestCoordinator;
  /** Absolute path of a configuration that is not there yet. */
  readonly configPath: string;
  /** Writes a configuration with one shell runner, known to the coordinator. */
  configure(settings?: { readonly top?: string; readonly runner?: string }): Promise<string>;
  /** Runs a command to its end. */
  command(words: readonly string[]): Promise<TestContext & { readonly code: number }>;
  /** Starts `fleetfoot run`. */
  start(words?: readonly string[]): RunningRunner;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A `fleetfoot run` in this process. */
interface RunningRunner {
  readonly context: TestContext;
  readonly exitCode: Promise<number>;
  /** As SIGQUIT does. */
  finish(): Promise<number>;
  /** As SIGTERM does. */
  terminate(): Promise<number>;
}

/** Starts a coordinator for the tests of commands that talk to one. */
export async function runnerWorld(options: Partial<TestCoordinatorOptions> = {}): Promise<RunnerWorld> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-world-"));
  const server = await startTestCoordinator({ stateDirectory: join(folder, "coordinator"), ...options });
  const { coordinator } = server;
  const configPath = join(folder, "config.toml");
  const newContext = (): TestContext =>
    testContext({ environment: testEnvironment(folder), workingDirectory: folder, homeDirectory: folder });
  const running = new Set<RunningRunner>();
  return {
    folder,
    coordinator,
    server,
    configPath,
    async configure({ top = "concurrent = 4", runner = "" } = {}) {
      const { token } = coordinator.createRunner();
      await writeFile(
        configPath,
        `${top}\ncheck_interval = 1\n\n[[runners]]\nname = "test"\nurl = "${server.url}"\ntoken = "${token}"\nexecutor = "shell"\n${runner}\n`,
      );
      return token;
    },
    async command(words) {
      const context = newContext();
      return { ...context, code: await runCli(words, context) };
    },
    start(words = []) {
      const context = newContext();
      const exitCode = runCli(["run", "--config", configPath, "--working-directory", folder, ...words], context);
      const runner: RunningRunner = {
        context,
        exitCode,
        finish: () => {
          context.stopGracefully(new StopReason("SIGQUIT"));
          return exitCode;
        },
        terminate: () => {
          context.stopAtOnce(new StopReason("SIGTERM"));
          return exitCode;
        },
      };
      running.add(runner);
      return runner;
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...running].map((runner) => runner.terminate()));
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
