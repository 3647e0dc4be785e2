import { caOf } from "../authority.ts";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import type { ConnectSettings } from "../settings/connect-settings.ts";
import type { MirrorUrl } from "../clients/mirror-url.ts";
import type { Settings } from "../settings/read-settings.ts";
import { connectClients, connectScript } from "./connect-script.ts";
import { RegistryMirrorError } from "@fleetfoot/registry-mirror";
import type { CertificateAuthority } from "@fleetfoot/registry-mirror/connect";

/** Prints the certificate authority of CONNECT mode, or renews it. */
export async function configureCa(settings: Settings, invocation: Invocation, context: CliContext): Promise<number> {
  const connect = connectOf(settings);
  const [source, options] = await caOf(settings, connect, context);
  if (invocation.flag("renew")) {
    if (!("directory" in source))
      throw new UsageError("connect.caCert is not the mirror's own; whoever made it renews it");
    const { renewCa } = await import("@fleetfoot/registry-mirror/connect");
    await usable(() => renewCa(source, options));
    context.stderr.write("Renewed. Restart the mirror; clients need the new certificate for hosts that were added.\n");
  }
  const ca = await openAuthority(settings, context);
  context.stderr.write(`SHA-256 ${ca.fingerprint}, until ${new Date(ca.expiresAtMs).toISOString().slice(0, 10)}\n`);
  for (const warning of ca.warnings) context.stderr.write(`warning: ${warning}\n`);
  context.stdout.write(ca.certificate);
  return 0;
}

/** Prints a script that makes a client use the mirror as its HTTP proxy. */
export async function configureConnect(
  settings: Settings,
  choice: MirrorUrl,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const wanted = invocation.text("client") ?? "dockerd";
  const client = connectClients.find((known) => known === wanted);
  if (client === undefined) throw new UsageError(`--client is one of ${connectClients.join(", ")}`);
  if (invocation.flag("write")) throw new UsageError("connect prints a script; run it as root on the client");
  const { policy, users } = connectOf(settings);
  const { readConnectPolicy } = await import("@fleetfoot/registry-mirror/connect");
  const problems: string[] = [];
  const { hosts, httpHosts } = readConnectPolicy(policy, problems);
  const noProxy = invocation.texts("no-proxy");
  for (const entry of noProxy)
    if (!/^[\w.:/,*[\]-]+$/.test(entry)) problems.push(`--no-proxy: ${JSON.stringify(entry)} is no list of hosts`);
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  const { certificate, fingerprint } = await openAuthority(settings, context);
  const { remarks, text } = connectScript(client, {
    url: choice.url,
    hosts: [...hosts].map((host) => host.replace(/:443$/, "")),
    httpHosts: [...httpHosts].map((host) => host.replace(/:80$/, "")),
    noProxy,
    certificate,
    fingerprint,
  });
  if (invocation.flag("json")) {
    context.stdout.write(`${JSON.stringify({ client, ...choice, fingerprint, text, remarks }, null, 2)}\n`);
    return 0;
  }
  for (const remark of remarks) context.stderr.write(`${remark}\n`);
  if (users !== undefined) context.stderr.write("Put the user and the password of the proxy into the URL.\n");
  context.stdout.write(text);
  return 0;
}

/** Prints an entry of connect.proxyAuth. */
export async function configureProxyUser(name: string, context: CliContext): Promise<number> {
  const password = context.environment["FLEETFOOT_PROXY_PASSWORD"];
  if (password === undefined || password === "") throw new UsageError("FLEETFOOT_PROXY_PASSWORD holds no password");
  if (name === "" || name.includes(":")) throw new UsageError(`${JSON.stringify(name)} cannot be the name of a user`);
  const { hashProxyPassword } = await import("@fleetfoot/registry-mirror/connect");
  context.stdout.write(`${name}:${await hashProxyPassword(password)}\n`);
  return 0;
}

async function openAuthority(settings: Settings, context: CliContext): Promise<CertificateAuthority> {
  const { openCa } = await import("@fleetfoot/registry-mirror/connect");
  const [source, options] = await caOf(settings, connectOf(settings), context);
  return usable(() => openCa(source, options));
}

async function usable<Result>(action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (RegistryMirrorError.isInstance(error)) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function connectOf({ connect }: Settings): ConnectSettings {
  if (connect === undefined) throw new UsageError("CONNECT mode is off in the settings ([connect] enabled = true)");
  return connect;
}
