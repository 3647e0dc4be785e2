import { chown, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { acceptsConnections } from "./ports.ts";
import { requirePrograms } from "./programs.ts";
import { runProgram } from "./run-program.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a squid. */
export interface SquidOptions {
  /** Who may use it: everybody, one user, or whoever speaks NTLM (checked by squid's own fake helper). @default everybody */
  readonly authentication?: { readonly user: string; readonly password: string } | "ntlm";
  /** Ports that tunnels may lead to. @default [443], as squid's own configuration has it */
  readonly tunnelPorts?: readonly number[];
}

/** One request that a squid has finished. A tunnel is finished when it is closed. */
export interface ProxiedRequest {
  readonly method: string;
  /** The whole URL, or `host:port` of a tunnel. */
  readonly url: string;
  readonly status: number;
  /** Name of the user; `-` without one. */
  readonly user: string;
}

/** A running forward proxy that caches nothing. */
export interface Squid extends RunningSystem {
  /** `host:port` */
  readonly authority: string;
  /** The requests that were finished so far. */
  finishedRequests(): Promise<readonly ProxiedRequest[]>;
}

/** Starts a squid (the Debian package squid). */
export async function startSquid(options: SquidOptions = {}): Promise<Squid> {
  const { squid, openssl } = await requirePrograms(["squid", "openssl"], "the tests that need a real proxy");
  const system = await startSystem({
    system: "squid",
    version: squid.version,
    order: async ({ folder, host, port }) => {
      const environment = systemEnvironment(folder);
      const configuration = join(folder, "squid.conf");
      await writeFile(configuration, squidConfiguration(folder, `${host}:${port}`, options).join("\n"));
      const { authentication } = options;
      if (typeof authentication === "object") {
        const hash = await runProgram(openssl.path, ["passwd", "-1", authentication.password], { environment });
        await writeFile(passwordFile(folder), `${authentication.user}:${hash}`);
      }
      // It gives up being root, and its helpers with it.
      const [user, group] = await Promise.all(
        ["-u", "-g"].map(async (flag) => Number(await runProgram("id", [flag, "proxy"], { environment }))),
      );
      await chown(folder, user ?? 0, group ?? 0);
      return { command: [squid.path, "-N", "-n", `fleetfoot${port}`, "-f", configuration], environment };
    },
    isReady: ({ host, port }) => acceptsConnections(host, port),
  });
  return {
    ...system,
    authority: `${system.host}:${system.port}`,
    finishedRequests: async () => parseAccessLog(await readFile(accessLog(system.folder), "utf8")),
  };
}

/** @see https://www.squid-cache.org/Doc/config/ */
function squidConfiguration(folder: string, address: string, options: SquidOptions): readonly string[] {
  const { authentication, tunnelPorts = [443] } = options;
  const allowed = authentication === undefined ? "all" : "users";
  return [
    `http_port ${address}`,
    ...authenticationConfiguration(folder, authentication),
    `acl tunnel_ports port ${tunnelPorts.join(" ")}`,
    "http_access deny CONNECT !tunnel_ports",
    `http_access allow ${allowed}`,
    "http_access deny all",
    "cache deny all",
    "pid_filename none",
    "pinger_enable off",
    "shutdown_lifetime 0 seconds",
    "strip_query_terms off",
    `coredump_dir ${folder}`,
    `cache_log ${join(folder, "cache.log")}`,
    "logformat finished %rm %ru %>Hs %un",
    `access_log stdio:${accessLog(folder)} logformat=finished`,
    "",
  ];
}

function authenticationConfiguration(
  folder: string,
  authentication: SquidOptions["authentication"],
): readonly string[] {
  if (authentication === undefined) return [];
  const program =
    authentication === "ntlm"
      ? "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth"
      : `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${passwordFile(folder)}`;
  return [program, "acl users proxy_auth REQUIRED"];
}

function passwordFile(folder: string): string {
  return join(folder, "passwords");
}

function accessLog(folder: string): string {
  return join(folder, "access.log");
}

function parseAccessLog(log: string): readonly ProxiedRequest[] {
  return log
    .split("\n")
    .filter((line) => line !== "" && !line.includes(" error:"))
    .map((line) => {
      const [method = "", url = "", status = "", user = ""] = line.split(" ");
      return { method, url, status: Number(status), user };
    });
}
