import { readFile, writeFile } from "node:fs/promises";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { expect, vi } from "vitest";
import { runnerWorld, type RunnerWorld } from "./running-runner.ts";

/** The part of a real engine that these tests look at; `tooling/systems` has it. */
export interface TestEngine {
  readonly dockerHost: string;
  request(request: { readonly method: "GET"; readonly path: string }): Promise<{ readonly json: () => unknown }>;
}

/** A runner with containers, and what its coordinator has of its jobs. */
export interface DockerWorld extends RunnerWorld {
  /** Log of a job as it was sent. */
  logOf(view: Pick<JobView, "id">): Promise<string>;
  /** The same, every line without its time. */
  linesOf(view: Pick<JobView, "id">): Promise<string>;
  /** Resolves when the job has printed the text. */
  printed(view: Pick<JobView, "id">, text: string): Promise<void>;
}

export interface DockerWorldOptions {
  /** Lines of `[runners.docker]`. @default none */
  readonly settings?: string;
  /** First lines of the file. @default "concurrent = 4" */
  readonly top?: string;
  /** Lines of `[[runners]]`. @default "request_concurrency = 4" */
  readonly runner?: string;
}

export const NO_SOURCES = { key: "GIT_STRATEGY", value: "none" };

/** A job without sources. */
export function dockerJob(script: readonly string[], more: Partial<NewJob> = {}): NewJob {
  return { variables: [NO_SOURCES], steps: [{ name: "script", script }], ...more };
}

/** Makes a world whose one runner has containers of an engine. */
export async function dockerWorld(engine: TestEngine, options: DockerWorldOptions = {}): Promise<DockerWorld> {
  const { settings = "", top = "concurrent = 4", runner = "request_concurrency = 4" } = options;
  const world = await runnerWorld();
  await world.configure({ top, runner });
  const text = (await readFile(world.configPath, "utf8")).replace('executor = "shell"', 'executor = "docker"');
  const docker = `[runners.docker]\nhost = "${engine.dockerHost}"\nimage = "fleetfoot-busybox"\npull_policy = "if-not-present"\n${settings}\n`;
  await writeFile(world.configPath, text + docker);
  const logOf: DockerWorld["logOf"] = async ({ id }) => new TextDecoder().decode(await world.coordinator.readTrace(id));
  return {
    ...world,
    logOf,
    linesOf: async (view) => (await logOf(view)).replaceAll(/^\S+Z \d\d[OE][ +]/gm, ""),
    printed: (view, text) => vi.waitFor(async () => expect(await logOf(view)).toContain(text), { timeout: 30_000 }),
  };
}

/** Names of all containers of an engine, also of those that do not run. */
export async function containersOf(engine: TestEngine): Promise<readonly string[]> {
  const answer = await engine.request({ method: "GET", path: "/containers/json?all=1" });
  return (answer.json() as readonly { readonly Names: readonly string[] }[]).flatMap(({ Names: names }) => names);
}

export async function networksOf(engine: TestEngine): Promise<readonly string[]> {
  const answer = await engine.request({ method: "GET", path: "/networks" });
  return (answer.json() as readonly { readonly Name: string }[]).map(({ Name: name }) => name);
}

export async function volumesOf(engine: TestEngine): Promise<readonly string[]> {
  const answer = await engine.request({ method: "GET", path: "/volumes" });
  const { Volumes: volumes } = answer.json() as { readonly Volumes: readonly { readonly Name: string }[] | null };
  return (volumes ?? []).map(({ Name: name }) => name);
}
