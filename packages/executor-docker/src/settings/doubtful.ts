import { messageOf } from "../errors.ts";
import { effectivePolicies, isPolicy } from "../image/pull-policy.ts";
import type { DockerSettings } from "../types.ts";

/** Settings that work and are hardly meant, such as those that another one takes the effect from; each with what to do. */
export function* doubtfulSettings(settings: DockerSettings): Generator<readonly [key: string, message: string]> {
  const { privileged, servicesPrivileged = privileged, hostname = "" } = settings;
  if (privileged !== true && isGiven(settings.allowedPrivilegedImages)) {
    yield ["allowed_privileged_images", "no image is privileged without privileged = true; set it, or remove the list"];
  }
  if (servicesPrivileged !== true && isGiven(settings.allowedPrivilegedServices)) {
    yield [
      "allowed_privileged_services",
      "no service is privileged without services_privileged = true; set it, or remove the list",
    ];
  }
  if (privileged === true && isGiven(settings.capDrop)) {
    yield ["cap_drop", "privileged containers have all capabilities; remove privileged or the list"];
  }
  if (hostname !== "" && !HOST_NAME.test(hostname)) {
    yield [
      "hostname",
      `${JSON.stringify(hostname)} is no name that other hosts accept; write letters, digits, hyphens and dots, for example build.example.com`,
    ];
  }
  if ([...(settings.pullPolicy ?? []), ...(settings.allowedPullPolicies ?? [])].some((policy) => !isPolicy(policy)))
    return;
  try {
    effectivePolicies(undefined, settings);
  } catch (error) {
    yield [
      "pull_policy",
      `jobs without a pull policy of their own fail: ${messageOf(error)}; allow one of the runner's`,
    ];
  }
}

function isGiven(list: readonly string[] | undefined): boolean {
  return list !== undefined && list.length > 0;
}

const HOST_NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;
