import type Dockerode from "dockerode";

import { DockerConfigurationError } from "../errors.ts";

/** What a container sees at a path of its own. */
export interface VolumeMount {
  /** Path of the engine's host, or name of a volume. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly destination: string;
  /** Separated by commas, as in `ro,z`. @default none */
  readonly options?: string;
}

/**
 * What the engine is told of mounts. It takes most of them as one text, in which colons stand between the parts; a path that has a colon of
 * its own goes in the newer form. The newer form alone would not do: it labels nothing for SELinux.
 *
 * @throws {DockerConfigurationError} an option that the newer form does not have
 * @see https://docs.docker.com/engine/storage/bind-mounts/
 */
export function engineMounts(mounts: readonly VolumeMount[]): Pick<Dockerode.HostConfig, "Binds" | "Mounts"> {
  const hasColon = ({ source, destination }: VolumeMount): boolean => `${source}${destination}`.includes(":");
  return {
    Binds: mounts.filter((mount) => !hasColon(mount)).map(asText),
    Mounts: mounts.filter(hasColon).map(asSettings),
  };
}

function asText({ source, destination, options = "" }: VolumeMount): string {
  return `${source}:${destination}${options === "" ? "" : `:${options}`}`;
}

function asSettings({ source, destination, options = "" }: VolumeMount): Dockerode.MountSettings {
  const words = options.split(",").filter(Boolean);
  const unknown = words.find((word) => word !== "ro" && word !== "rw");
  if (unknown !== undefined) {
    throw new DockerConfigurationError(
      `volumes: the option ${unknown} cannot be used with a path that has a colon in it, as ${JSON.stringify(destination)}; leave it out, or name another path`,
    );
  }
  const type = source.startsWith("/") ? "bind" : "volume";
  return { Type: type, Source: source, Target: destination, ReadOnly: words.includes("ro") };
}
