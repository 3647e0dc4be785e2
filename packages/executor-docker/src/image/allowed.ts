import { expandReferences } from "@fleetfoot/cache-key";

import { DockerConfigurationError } from "../errors.ts";
import type { DockerSettings } from "../types.ts";
import { matchesAny } from "./patterns.ts";

/**
 * Refuses an image that the runner's list does not have; what the configuration itself names is always allowed.
 *
 * @param image - expanded
 * @throws {DockerConfigurationError} after the list was shown
 * @see job-execution 2.3
 */
export function checkAllowed(
  kind: "image" | "service",
  image: string,
  settings: DockerSettings,
  lookup: (name: string) => string | undefined,
  log: (text: string) => void,
): void {
  const patterns = (kind === "image" ? settings.allowedImages : settings.allowedServices) ?? [];
  const named = kind === "image" ? [settings.image ?? ""] : (settings.services ?? []).map(({ name }) => name);
  const own = named.map((name) => expandReferences(name, lookup));
  if (patterns.length === 0 || own.includes(image) || matchesAny(image, patterns)) return;
  log(`The ${JSON.stringify(image)} ${kind} is not present on list of allowed ${kind}s:`);
  for (const pattern of patterns) log(`- ${pattern}`);
  throw new DockerConfigurationError(
    `disallowed ${kind} ${JSON.stringify(image)}; it fits none of: ${patterns.join(", ")}`,
  );
}

/**
 * The user as whom the job's commands run; undefined: that of the image.
 *
 * @param wanted - what the job says
 * @throws {DockerConfigurationError} the runner does not allow it
 */
export function chooseUser(wanted: string | undefined, settings: DockerSettings): string | undefined {
  const configured = settings.user === "" ? undefined : settings.user;
  const user = configured ?? wanted;
  if (user !== undefined) checkUser(user, settings);
  return user;
}

/** @throws {DockerConfigurationError} the runner does not allow it */
export function checkUser(user: string, { user: configured, allowedUsers: allowed = [] }: DockerSettings): void {
  if (user === configured || allowed.length === 0 || allowed.includes(user)) return;
  throw new DockerConfigurationError(`the user ${JSON.stringify(user)} is not an allowed user: [${allowed.join(" ")}]`);
}
