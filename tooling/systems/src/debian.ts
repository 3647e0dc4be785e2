import { join } from "node:path";
import { callerEnvironment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";
import { systemsFolder } from "./folders.ts";
import { withLock } from "./lock.ts";
import { runProgram } from "./run-program.ts";

/**
 * A daemon's package starts it for the whole machine unless the policy program says no; a machine that has such a
 * program already keeps its own. The shell outlives this process, so the policy goes away even if we are killed.
 *
 * @see https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
 */
const installScript = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod +x "$policy"
fi
install() { apt-get -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"; }
install "$@" || { apt-get update && install "$@"; }
`;

/** What stands in the way of installing Debian packages; undefined when nothing does. */
function whyNoDebianPackages(): string | undefined {
  if (findProgram("apt-get") === undefined) return "there is no apt-get";
  if (process.getuid?.() !== 0) return "only root may install Debian packages";
  return undefined;
}

/**
 * Installs Debian packages, one installation at a time on this machine.
 *
 * @param isThere - asked again once the lock is held, because another process may just have installed the same
 * @throws {SystemUnavailableError} no apt-get, not root, or apt-get failed
 */
export async function installDebianPackages(
  packages: readonly string[],
  why: string,
  isThere: () => boolean,
): Promise<void> {
  const names = packages.join(", ");
  const obstacle = whyNoDebianPackages();
  if (obstacle !== undefined) throw new SystemUnavailableError(names, `it is not installed, and ${obstacle}`);
  await withLock(join(systemsFolder, "locks", "debian"), async () => {
    if (isThere()) return;
    console.error(`systems: installing ${names} (Debian) for ${why}`);
    try {
      await runProgram("sh", ["-c", installScript, "install", ...packages], {
        environment: callerEnvironment({ DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" }),
        folder: "/",
      });
    } catch (error) {
      throw new SystemUnavailableError(names, "apt-get could not install it", { cause: error });
    }
  });
}
