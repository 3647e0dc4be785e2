import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { exposedMetadataAddresses, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { lintRunnerConfig, parseRunnerConfig, type ConfigProblem, type RunnerConfig } from "@fleetfoot/runner-config";
import type { Invocation } from "./command.ts";
import type { CliContext } from "./context.ts";
import { UsageError } from "./errors.ts";
import type { NetworkSettings } from "./instance/connect.ts";
import { makeFolder } from "./make-folder.ts";

/** The `config.toml` of this process. */
export interface ConfigFile {
  /** Absolute. */
  readonly path: string;
  /** Text of the file; empty when there is none. */
  readonly text: string;
  readonly config: RunnerConfig;
  /** What is probably not meant, and what has no effect. */
  readonly warnings: readonly ConfigProblem[];
}

/**
 * Finds the configuration: the one that was named, else the system's for root and the user's own for everybody else.
 *
 * @see job-execution 3
 */
export function configPath(invocation: Invocation, context: CliContext): string {
  const named = invocation.text("config");
  if (named !== undefined) return resolve(context.workingDirectory, named);
  return context.isRoot ? "/etc/gitlab-runner/config.toml" : join(context.homeDirectory, ".gitlab-runner/config.toml");
}

/**
 * How this process reaches its instances: by the proxies of its environment, and with files for TLS that lie beside the default
 * configuration, whichever one is used.
 *
 * @throws {InvalidProxySettingsError} a proxy variable cannot be understood
 * @throws {UsageError} Node itself would send requests for this machine's credentials through a proxy
 * @see coordinator-protocol 1.4, 1.5
 */
export function networkSettings(context: CliContext): NetworkSettings {
  const exposed = exposedMetadataAddresses(context.environment);
  if (exposed.length > 0) {
    const danger =
      "Node's own proxy support would send requests for this machine's cloud credentials through the proxy";
    throw new UsageError(`${danger}: add ${exposed.join(",")} to NO_PROXY, or leave NODE_USE_ENV_PROXY out`);
  }
  const folder = context.isRoot ? "/etc/gitlab-runner" : join(context.homeDirectory, ".gitlab-runner");
  return {
    proxies: readProxyEnvironment(context.environment),
    certificatesDirectory: join(folder, "certs"),
    currentDirectory: context.workingDirectory,
  };
}

/**
 * Reads and checks the configuration. A missing file is an empty one.
 *
 * @throws {UsageError} the file cannot be read or has errors; the message names all of them
 */
export async function loadConfig(path: string, environment: Readonly<Record<string, string>>): Promise<ConfigFile> {
  const text = await readText(path);
  const { config, problems } = parseRunnerConfig(text, { environment });
  if (config === undefined) throw new UsageError(describeConfigProblems(path, problems.filter(isError)));
  const ofContainers = await containerProblems(config);
  const errors = ofContainers.filter(isError);
  if (errors.length > 0) throw new UsageError(describeConfigProblems(path, errors));
  return { path, text, config, warnings: [...lintRunnerConfig(text, { environment }), ...ofContainers] };
}

function isError({ severity }: ConfigProblem): boolean {
  return severity === "error";
}

/** What the executor finds in the sections of containers. Its code is loaded only where there is such a runner. */
async function containerProblems({ runners }: RunnerConfig): Promise<readonly ConfigProblem[]> {
  const sections = runners.flatMap(({ executor, docker, name }) =>
    executor === "docker" && docker !== undefined ? [{ docker, name }] : [],
  );
  if (sections.length === 0) return [];
  const { checkDockerSettings } = await import("@fleetfoot/executor-docker");
  return sections.flatMap(({ docker, name }) =>
    checkDockerSettings(docker).map(({ key, severity, message }) => ({
      path: `[runners.docker] of the runner "${name}": ${key}`,
      severity,
      code: "container-settings",
      message,
    })),
  );
}

/** `file: path: text`, one per line. */
export function describeConfigProblems(path: string, problems: readonly ConfigProblem[]): string {
  return problems
    .map((problem) => `${path}: ${problem.path === "" ? "" : `${problem.path}: `}${problem.message}`)
    .join("\n");
}

/** Replaces the file as a whole: a reader, and a power cut, find the old text or the new one. */
export async function saveConfig(path: string, text: string): Promise<void> {
  await makeFolder(dirname(path), 0o700);
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return "";
    throw new UsageError(`${path} cannot be read (${String(code ?? error)}).`, {
      cure: "Check the file's owner and mode, or name another file with --config.",
      cause: error,
    });
  }
}
