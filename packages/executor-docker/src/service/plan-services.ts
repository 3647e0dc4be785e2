import { expandReferences } from "@fleetfoot/cache-key";

import { DockerConfigurationError } from "../errors.ts";
import { checkUser } from "../image/allowed.ts";
import { serviceNames } from "../image/reference.ts";
import type { ConfiguredService, DockerImage, DockerSettings, DockerVariable } from "../types.ts";

/** A service that is going to be started. */
export interface PlannedService {
  readonly image: string;
  /** Names under which the job reaches it. */
  readonly aliases: readonly string[];
  readonly command: readonly string[] | undefined;
  readonly entrypoint: readonly string[] | undefined;
  readonly variables: readonly DockerVariable[];
  readonly pullPolicy: readonly string[] | undefined;
  readonly platform: string | undefined;
  readonly user: string | undefined;
}

export interface ServicePlan {
  readonly services: readonly PlannedService[];
  /** Lines for the log. */
  readonly warnings: readonly string[];
}

/**
 * Decides which services are started and under which names, those of the configuration first. A name goes to the first who
 * asks for it; a service that gets none is not started.
 *
 * @throws {DockerConfigurationError} there are more than the runner allows, or one runs as a user whom it does not allow
 * @see job-execution 2.4
 */
export function planServices(
  wanted: readonly DockerImage[],
  settings: DockerSettings,
  lookup: (name: string) => string | undefined,
): ServicePlan {
  const all = [...(settings.services ?? []).map(fromConfiguration), ...wanted];
  const limit = settings.servicesLimit ?? -1;
  if (limit >= 0 && all.length > limit) {
    throw new DockerConfigurationError(
      `the job has ${all.length} services, and the services_limit of this runner is ${limit}`,
    );
  }
  const taken = new Set<string>();
  const warnings: string[] = [];
  const services = all.flatMap((service) => {
    const planned = plan(service, lookup, taken, warnings);
    if (planned?.user !== undefined) checkUser(planned.user, settings);
    return planned === undefined ? [] : [planned];
  });
  return { services, warnings };
}

function plan(
  service: DockerImage,
  lookup: (name: string) => string | undefined,
  taken: Set<string>,
  warnings: string[],
): PlannedService | undefined {
  const image = expandReferences(service.name, lookup);
  const declared = expandReferences(service.alias ?? "", lookup)
    .split(/[\s,]+/)
    .filter(Boolean);
  const aliases: string[] = [];
  for (const alias of new Set([...serviceNames(image), ...declared])) {
    if (taken.has(alias)) {
      warnings.push(`Service ${image}: the alias ${alias} is taken by an earlier service`);
      continue;
    }
    taken.add(alias);
    aliases.push(alias);
  }
  if (aliases.length === 0) {
    warnings.push(`Service ${image} is not started, since all of its aliases are taken`);
    return undefined;
  }
  const { platform, user } = dockerOptions(service, lookup);
  return {
    image,
    aliases,
    command: nonEmpty(service.command),
    entrypoint: nonEmpty(service.entrypoint),
    variables: service.variables ?? [],
    pullPolicy: service.pull_policy,
    platform,
    user,
  };
}

/** `docker:` of an image or service, expanded. */
export function dockerOptions(
  { executor_opts: options = {} }: DockerImage,
  lookup: (name: string) => string | undefined,
): {
  readonly platform: string | undefined;
  readonly user: string | undefined;
} {
  const docker = (options["docker"] ?? {}) as { readonly platform?: unknown; readonly user?: unknown };
  const text = (value: unknown): string | undefined =>
    typeof value === "number"
      ? String(value)
      : typeof value === "string"
        ? expandReferences(value, lookup) || undefined
        : undefined;
  const platform = text(docker.platform);
  return {
    platform: platform === undefined || platform.includes("/") ? platform : `linux/${platform}`,
    user: text(docker.user),
  };
}

function fromConfiguration({ name, alias, command, entrypoint, environment = [] }: ConfiguredService): DockerImage {
  const variables = environment.flatMap((entry) => {
    const at = entry.indexOf("=");
    return at > 0 ? [{ key: entry.slice(0, at), value: entry.slice(at + 1) }] : [];
  });
  return {
    name,
    variables,
    ...(alias === undefined ? {} : { alias }),
    ...(command === undefined ? {} : { command }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
  };
}

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}
