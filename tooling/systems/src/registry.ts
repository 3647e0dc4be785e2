import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { answersWell } from "./http.ts";
import { requirePrograms } from "./programs.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a registry. */
export interface RegistryOptions {
  /** Address to listen on; a Docker engine reaches its `hostAddress` only. @default "127.0.0.1" */
  readonly host?: string;
  /** Makes the registry a pull-through cache of this one (a base URL). @default an ordinary registry */
  readonly mirrorOf?: string;
}

/** A running container registry without access control. */
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
      // JSON is YAML, and needs no library to write.
      await writeFile(configuration, JSON.stringify(registryConfiguration(folder, `${host}:${port}`, options)));
      return {
        command: [program.path, "serve", configuration],
        environment: systemEnvironment(folder, { OTEL_TRACES_EXPORTER: "none" }),
      };
    },
    isReady: ({ host, port }) => answersWell(`http://${host}:${port}/v2/`),
  });
  const authority = `${system.host}:${system.port}`;
  return { ...system, authority, endpoint: `http://${authority}` };
}

/** @see https://distribution.github.io/distribution/about/configuration/ */
function registryConfiguration(folder: string, address: string, options: RegistryOptions): object {
  return {
    version: "0.1",
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: address },
    ...(options.mirrorOf === undefined ? {} : { proxy: { remoteurl: options.mirrorOf } }),
  };
}
