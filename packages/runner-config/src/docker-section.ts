import type { RunnerDocker, RunnerDockerService } from "./config.ts";
import { DOCKER_KEYS, type DockerKey, type DockerKeyName } from "./docker-keys.ts";
import type { TableReader } from "./table-reader.ts";

/** Reads `[runners.docker]`; problems go to the reader. An empty text counts as none. */
export function readDocker(table: TableReader | undefined): RunnerDocker | undefined {
  if (table === undefined) return undefined;
  const plain = Object.fromEntries(DOCKER_KEYS.map((key) => [key.name, readKey(table, key)]));
  return {
    // The table of keys has each name once, with the kind of its value.
    ...(plain as Pick<RunnerDocker, DockerKeyName>),
    volumeDriverOptions: table.texts("volume_driver_ops"),
    ulimit: table.texts("ulimit"),
    tmpfs: table.texts("tmpfs"),
    servicesTmpfs: table.texts("services_tmpfs"),
    servicesDevices: table.lists("services_devices"),
    sysctls: table.texts("sysctls"),
    containerLabels: table.texts("container_labels"),
    logOptions: table.texts("log_options"),
    services: table.tables("services").flatMap((service) => readService(service) ?? []),
  };
}

function readKey(
  table: TableReader,
  { key, kind }: DockerKey,
): string | boolean | number | readonly string[] | undefined {
  switch (kind) {
    case "boolean":
      return table.boolean(key);
    case "integer":
      return table.integer(key);
    case "list":
      return key === "pull_policy" ? table.stringOrStrings(key) : table.strings(key);
    default:
      return table.string(key) || undefined;
  }
}

function readService(table: TableReader): RunnerDockerService | undefined {
  const name = table.string("name") ?? "";
  const service = {
    name,
    alias: table.string("alias") || undefined,
    command: table.strings("command"),
    entrypoint: table.strings("entrypoint"),
    environment: table.strings("environment"),
  };
  if (name !== "") return service;
  table.problem("name", "error", "missing-name", "the service has no name; give it the name of an image");
  return undefined;
}
