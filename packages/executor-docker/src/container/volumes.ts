import { posix } from "node:path";

import { expandReferences } from "@fleetfoot/cache-key";

import { DockerConfigurationError } from "../errors.ts";
import type { DockerSettings } from "../types.ts";
import type { VolumeMount } from "./mounts.ts";
import { volumeSuffix } from "./names.ts";
import type { JobNames } from "./names.ts";

/** A volume that has to be there before the containers of a job. */
export interface NamedVolume {
  readonly name: string;
  /** Path in the containers. */
  readonly destination: string;
  /** Whether later jobs find it again. */
  readonly reusable: boolean;
}

/** What is mounted into the containers of a job. */
export interface JobVolumes {
  readonly mounts: readonly VolumeMount[];
  /** Volumes to create. */
  readonly named: readonly NamedVolume[];
  /** Paths in the containers that nobody but root could write to, if they were not opened, and that are to be written to. */
  readonly toOpen: readonly string[];
  /** Whether the configuration itself says what lies at the builds directory. */
  readonly coversBuilds: boolean;
}

export interface VolumeFacts {
  readonly settings: DockerSettings;
  readonly names: JobNames;
  readonly project: string;
  readonly builds: string;
  readonly isProtected: boolean;
  readonly lookup: (name: string) => string | undefined;
}

/**
 * Decides what is mounted into the containers. What protected branches keep, others do not see.
 *
 * @throws {DockerConfigurationError} a volume that cannot be meant
 * @see job-execution 2.5
 */
export function planVolumes(facts: VolumeFacts): JobVolumes {
  const { settings, builds } = facts;
  const mounts: VolumeMount[] = [];
  const named: NamedVolume[] = [];
  const toOpen: string[] = [];
  const destinations = new Set<string>();
  for (const text of settings.volumes ?? []) {
    const volume = parseVolume(text, facts);
    checkDestination(text, volume.destination, destinations);
    const { source, destination, options } = volume;
    if (source !== undefined) {
      mounts.push({ source, destination, options });
      continue;
    }
    const placed = placeVolume(destination, settings.disableCache !== true, facts);
    mounts.push({ source: placed.source, destination, options });
    if (placed.named !== undefined) named.push(placed.named);
    if (!options.split(",").includes("ro")) toOpen.push(destination);
  }
  return { mounts, named, toOpen, coversBuilds: destinations.has(builds) };
}

/** Finds what of `volumes` no job could have; what has variables in it may be anything. @throws {DockerConfigurationError} */
export function checkVolumes(volumes: readonly string[]): void {
  const destinations = new Set<string>();
  for (const text of volumes) {
    const { destination } = parseVolume(text, { project: "/builds/project", lookup: (name) => `\${${name}}` });
    if (destination.includes("$")) continue;
    checkDestination(text, destination, destinations);
  }
}

/**
 * Decides what is mounted at a destination that has no source of its own.
 *
 * @param isKept - whether later jobs of the same project and number find it again
 * @returns what the engine mounts, and the volume to create for it, if it needs one
 */
export function placeVolume(
  destination: string,
  isKept: boolean,
  { settings, names, isProtected }: Pick<VolumeFacts, "isProtected" | "names" | "settings">,
): { readonly source: string; readonly named: NamedVolume | undefined } {
  const own = volumeSuffix(destination);
  const suffix = isProtected ? "-protected" : "";
  if (!isKept) {
    const name = `${names.job}-${own}`;
    return { source: name, named: { name, destination, reusable: false } };
  }
  if (settings.cacheDirectory !== undefined && settings.cacheDirectory !== "") {
    const hash = own.replace(/^cache-/, "");
    return { source: `${settings.cacheDirectory}/${names.kept}/${hash}${suffix}`, named: undefined };
  }
  const name = `${names.kept}-${own}${suffix}`;
  return { source: name, named: { name, destination, reusable: true } };
}

/**
 * Whether a job belongs to a protected branch: as the coordinator says, and by the keys of its caches.
 *
 * @see job-execution 2.5
 */
export function isProtectedJob(
  job: {
    readonly git_info: { readonly protected?: boolean | null };
    readonly cache: readonly { readonly key?: string }[];
  },
  lookup: (name: string) => string | undefined,
): boolean {
  const stated = job.git_info.protected ?? lookup("CI_COMMIT_REF_PROTECTED") === "true";
  return stated || job.cache.some(({ key = "" }) => key.endsWith("-protected"));
}

interface Volume {
  readonly source: string | undefined;
  readonly destination: string;
  readonly options: string;
}

const OPTION = /^(?:ro|rw|O|z|Z|(?:r)?(?:shared|slave|private)|nocopy)$/i;

/** A path of the engine's host, or the name of a volume. */
const SOURCE = /^(?:\/|[A-Za-z0-9][\w.-]+$)/;

function parseVolume(text: string, { lookup, project }: Pick<VolumeFacts, "lookup" | "project">): Volume {
  const [first = "", ...rest] = text.split(":");
  const hasOptions = rest.length > 0 && (rest.at(-1) ?? "").split(",").every((option) => OPTION.test(option));
  const options = hasOptions ? (rest.pop() ?? "") : "";
  if (rest.length > 1) {
    throw new DockerConfigurationError(
      `volumes: ${JSON.stringify(text)} has too many parts; write [source:]destination[:options]`,
    );
  }
  const [second] = rest;
  if (first === "" || second === "") {
    throw new DockerConfigurationError(
      `volumes: ${JSON.stringify(text)} has an empty part; write [source:]destination[:options]`,
    );
  }
  const source = second === undefined ? undefined : first;
  if (source !== undefined && !SOURCE.test(source)) {
    throw new DockerConfigurationError(
      `volumes: ${JSON.stringify(source)} is neither an absolute path of the engine's host nor the name of a volume; write for example /srv/data:/data`,
    );
  }
  return { source, destination: posix.resolve(project, expandReferences(second ?? first, lookup)), options };
}

function checkDestination(text: string, destination: string, others: Set<string>): void {
  if (destination === "/") {
    throw new DockerConfigurationError(
      `volumes: ${JSON.stringify(text)} would take the place of the whole file system; mount it below a directory`,
    );
  }
  if (others.has(destination)) {
    throw new DockerConfigurationError(`volumes: ${destination} is there twice; remove one of them`);
  }
  others.add(destination);
}
