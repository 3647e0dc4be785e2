import { DOCKER_KEYS, type DockerKey, type NewRunnerDocker } from "@fleetfoot/runner-config";
import type { Invocation } from "./command.ts";
import { dockerOptionName } from "./docker-options.ts";
import { UsageError } from "./errors.ts";

const CACHE_VOLUME = "/cache";

/**
 * What the options say of `[runners.docker]`. A volume for caches is added where none is mounted and caches are not switched off.
 *
 * @throws {UsageError} a value that cannot be meant
 */
export function readDockerSettings(invocation: Invocation): NewRunnerDocker {
  const given = Object.fromEntries(
    DOCKER_KEYS.flatMap((key) => {
      const value = readValue(key, invocation);
      return value === undefined ? [] : [[key.name, value]];
    }),
  ) as NewRunnerDocker;
  const volumes = given.volumes ?? [];
  const isMounted = volumes.some((volume) => volume.split(":").slice(0, 2).includes(CACHE_VOLUME));
  return given.disableCache === true || isMounted ? given : { ...given, volumes: [...volumes, CACHE_VOLUME] };
}

/** @throws {UsageError} no job could run with them; the message names all that is wrong, by its option */
export async function checkDockerOptions(docker: NewRunnerDocker): Promise<void> {
  const { checkDockerSettings } = await import("@fleetfoot/executor-docker");
  const faults = checkDockerSettings(docker).filter(({ severity }) => severity === "error");
  if (faults.length === 0) return;
  throw new UsageError(faults.map(({ key, message }) => `--${dockerOptionName(key)}: ${message}`).join("\n"));
}

/** Options on the command line that say something of containers, for a runner that has none. */
export function dockerOptionsGiven(invocation: Invocation): readonly string[] {
  return DOCKER_KEYS.map(({ key }) => dockerOptionName(key)).filter((name) => invocation.isGiven(name));
}

function readValue(
  { key, kind }: DockerKey,
  invocation: Invocation,
): string | boolean | number | readonly string[] | undefined {
  const name = dockerOptionName(key);
  const text = invocation.text(name);
  if (text === undefined || text === "") return undefined;
  switch (kind) {
    case "boolean":
      return invocation.flag(name);
    case "integer":
      if (/^-?\d+$/.test(text)) return Number(text);
      throw new UsageError(`--${name} ${text} is no whole number.`);
    case "list":
      return invocation.texts(name);
    default:
      return text;
  }
}
