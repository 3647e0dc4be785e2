import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { answers, answersWell } from "./http.ts";
import { requirePrograms } from "./programs.ts";
import { runProgram } from "./run-program.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a registry. */
export interface RegistryOptions {
  /** Address to listen on; a Docker engine reaches its `hostAddress` only. @default "127.0.0.1" */
  readonly host?: string;
  /** Makes the registry a pull-through cache of this one (a base URL). @default an ordinary registry */
  readonly mirrorOf?: string;
  /** Whom it asks everybody to be. @default nobody is asked */
  readonly login?: { readonly username: string; readonly password: string };
}

/** A running container registry. */
export interface Registry extends RunningSystem {
  /** Base URL without a path; the API begins at `/v2/`. */
  readonly endpoint: string;
  /** `host:port`, the first part of an image reference. */
  readonly authority: string;
}

/** Starts an empty registry (the Debian package docker-registry). */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const why = "the tests that need a real container registry";
  const { "docker-registry": program } = await requirePrograms(["docker-registry"], why);
  const system = await startSystem({
    system: "docker-registry",
    version: program.version,
    ...(options.host === undefined ? {} : { host: options.host }),
    order: async ({ folder, host, port }) => {
      const configuration = join(folder, "registry.json");
      if (options.login !== undefined) await writePasswords(folder, options.login, why);
      // JSON is YAML, and needs no library to write.
      await writeFile(configuration, JSON.stringify(registryConfiguration(folder, `${host}:${port}`, options)));
      return {
        command: [program.path, "serve", configuration],
        environment: systemEnvironment(folder, { OTEL_TRACES_EXPORTER: "none" }),
      };
    },
    isReady: ({ host, port }) => (options.login === undefined ? answersWell : answers)(`http://${host}:${port}/v2/`),
  });
  const authority = `${system.host}:${system.port}`;
  return { ...system, authority, endpoint: `http://${authority}` };
}

/** The registry takes bcrypt alone. */
async function writePasswords(
  folder: string,
  { username, password }: NonNullable<RegistryOptions["login"]>,
  why: string,
): Promise<void> {
  const { htpasswd } = await requirePrograms(["htpasswd"], why);
  const line = await runProgram(htpasswd.path, ["-nbB", username, password], { environment: systemEnvironment("/") });
  await writeFile(join(folder, PASSWORDS), line, { mode: 0o600 });
}

const PASSWORDS = "htpasswd";

/** @see https://distribution.github.io/distribution/about/configuration/ */
function registryConfiguration(folder: string, address: string, options: RegistryOptions): object {
  return {
    version: "0.1",
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: address },
    ...(options.login === undefined
      ? {}
      : { auth: { htpasswd: { realm: "test registry", path: join(folder, PASSWORDS) } } }),
    ...(options.mirrorOf === undefined ? {} : { proxy: { remoteurl: options.mirrorOf } }),
  };
}
