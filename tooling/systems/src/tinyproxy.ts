import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { acceptsConnections } from "./ports.ts";
import { requirePrograms } from "./programs.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a tinyproxy. */
export interface TinyproxyOptions {
  /** Address to listen on; containers of a Docker engine reach its `hostAddress` only. @default "127.0.0.1" */
  readonly host?: string;
  /** The one user that may use it; letters and digits only. @default everybody may */
  readonly basicAuth?: { readonly user: string; readonly password: string };
  /** Ports that tunnels may lead to. @default every port */
  readonly tunnelPorts?: readonly number[];
}

/** A running forward proxy. */
export interface Tinyproxy extends RunningSystem {
  /** `host:port` */
  readonly authority: string;
}

/** Starts a tinyproxy (the Debian package tinyproxy). */
export async function startTinyproxy(options: TinyproxyOptions = {}): Promise<Tinyproxy> {
  const { tinyproxy } = await requirePrograms(["tinyproxy"], "the tests that need a real proxy");
  const system = await startSystem({
    system: "tinyproxy",
    version: tinyproxy.version,
    ...(options.host === undefined ? {} : { host: options.host }),
    order: async ({ folder, host, port }) => {
      const configuration = join(folder, "tinyproxy.conf");
      const { basicAuth, tunnelPorts = [] } = options;
      const lines = [
        `Listen ${host}`,
        `Port ${port}`,
        "LogLevel Connect",
        ...(basicAuth === undefined ? [] : [`BasicAuth ${basicAuth.user} ${basicAuth.password}`]),
        ...tunnelPorts.map((tunnelPort) => `ConnectPort ${tunnelPort}`),
      ];
      await writeFile(configuration, `${lines.join("\n")}\n`);
      return { command: [tinyproxy.path, "-d", "-c", configuration], environment: systemEnvironment(folder) };
    },
    isReady: ({ host, port }) => acceptsConnections(host, port),
  });
  return { ...system, authority: `${system.host}:${system.port}` };
}
