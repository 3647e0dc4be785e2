import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { acceptsConnections } from "./ports.ts";
import { requirePrograms } from "./programs.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a cntlm. */
export interface CntlmOptions {
  /** `host:port` of the proxy that wants NTLM. */
  readonly parent: string;
}

/** A running proxy that authenticates itself to another one, so that its clients need not. */
export interface Cntlm extends RunningSystem {
  /** `host:port` */
  readonly authority: string;
}

/** Starts a cntlm (the Debian package cntlm) in front of a proxy. */
export async function startCntlm(options: CntlmOptions): Promise<Cntlm> {
  const { cntlm } = await requirePrograms(["cntlm"], "the tests that need a proxy with NTLM");
  const system = await startSystem({
    system: "cntlm",
    version: cntlm.version,
    order: async ({ folder, host, port }) => {
      const configuration = join(folder, "cntlm.conf");
      const lines = [
        "Username testuser",
        "Domain test",
        "Password password",
        // NTLMv2 wants target information in the challenge, which squid's own helper does not send.
        "Auth NT",
        `Proxy ${options.parent}`,
        `Listen ${host}:${port}`,
      ];
      await writeFile(configuration, `${lines.join("\n")}\n`, { mode: 0o600 });
      return { command: [cntlm.path, "-f", "-c", configuration], environment: systemEnvironment(folder) };
    },
    isReady: ({ host, port }) => acceptsConnections(host, port),
  });
  return { ...system, authority: `${system.host}:${system.port}` };
}
