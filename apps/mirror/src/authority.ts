import { hostname } from "node:os";
import { join } from "node:path";
import type { CaOptions, CaSource } from "@fleetfoot/registry-mirror/connect";
import type { CliContext } from "./context.ts";
import type { ConnectSettings } from "./settings/connect-settings.ts";
import type { Settings } from "./settings/read-settings.ts";

/** Where the authority is, and what it must hold for. */
export async function caOf(
  { mirror }: Settings,
  { ca, constrain, policy }: ConnectSettings,
  { now }: CliContext,
): Promise<[CaSource, CaOptions]> {
  const { certificateHosts } = await import("@fleetfoot/registry-mirror/connect");
  const source = ca ?? { directory: join(mirror.directory, "connect") };
  return [source, { hosts: certificateHosts(policy), machine: hostname(), constrain, now }];
}
