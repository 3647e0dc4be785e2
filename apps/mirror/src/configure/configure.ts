import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { makeDirectory } from "@fleetfoot/state-directory";
import type { CommandAction, Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { mirrorUrlProblem } from "../settings/advertised.ts";
import { mirrorUrl } from "../clients/mirror-url.ts";
import { registriesOf } from "../clients/registries.ts";
import { configureCa, configureConnect, configureProxyUser } from "./configure-connect.ts";
import { changeDaemonJson, unitSetsMirrors } from "./daemon-json.ts";
import { clients, snippetFor } from "../clients/snippets.ts";
import type { Client, Snippet } from "../clients/snippets.ts";

/** Prints what a client needs to use the mirror, or writes it where the client looks for it. */
export const configure: CommandAction = async (invocation, context) => {
  const [word, name, ...more] = invocation.operands;
  if (word === "proxy-user" && name !== undefined && more.length === 0) return configureProxyUser(name, context);
  if (word === "ca" && name === undefined)
    return configureCa(await loadSettings(invocation, context, { needsLogins: false }), invocation, context);
  const client = clients.find((known) => known === word);
  if ((client === undefined && word !== "connect") || name !== undefined)
    throw new UsageError(`name one client: ${clients.join(", ")}; or connect, ca, proxy-user NAME`);
  refuseIdleFlags(invocation, client ?? "connect");
  const settings = await loadSettings(invocation, context, { needsLogins: false });
  const choice = await mirrorUrl(settings, invocation.flag("tls") ? { hasTls: true } : {});
  const { url } = choice;
  const problem = mirrorUrlProblem(url);
  if (problem !== undefined) throw new UsageError(`${JSON.stringify(url)} cannot be a mirror: ${problem}`);
  if (!invocation.flag("json")) {
    for (const remark of choice.remarks) context.stderr.write(`${remark}\n`);
    if (invocation.flag("verbose"))
      context.stderr.write(`${choice.address}: ${choice.reason}; considered: ${choice.candidates.join(", ")}\n`);
  }
  if (client === undefined) return configureConnect(settings, choice, invocation, context);
  const snippet = snippetFor(client, { url, registries: registriesOf(settings) });
  if (invocation.flag("json")) {
    context.stdout.write(`${JSON.stringify({ client, ...choice, ...snippet }, null, 2)}\n`);
    return 0;
  }
  if (!invocation.flag("write")) {
    for (const remark of snippet.remarks) context.stderr.write(`${remark}\n`);
    context.stderr.write(`# ${snippet.file}\n`);
    context.stdout.write(snippet.text);
    return 0;
  }
  await write(client, url, snippet, invocation, context);
  return 0;
};

/** A flag that nothing comes of would be taken for one that was obeyed. */
function refuseIdleFlags(invocation: Invocation, word: string): void {
  const only: Readonly<Record<string, string>> = { client: "connect", renew: "ca", "no-proxy": "connect" };
  for (const [flag, owner] of Object.entries(only)) {
    const isGiven = invocation.flag(flag) || invocation.text(flag) !== undefined || invocation.texts(flag).length > 0;
    if (isGiven && word !== owner) throw new UsageError(`--${flag} goes with ${owner}, not with ${word}`);
  }
  if (invocation.flag("remove") && !invocation.flag("write")) throw new UsageError("--remove goes with --write");
  if (invocation.flag("write") && invocation.flag("json"))
    throw new UsageError("--write and --json do not go together: one writes, the other prints");
}

async function write(
  client: Client,
  url: string,
  snippet: Snippet,
  invocation: Invocation,
  context: CliContext,
): Promise<void> {
  const file = invocation.text("file") ?? snippet.file;
  const isRemoval = invocation.flag("remove");
  if (client === "dockerd") return writeDaemonJson(file, url, isRemoval, invocation, context);
  if (client !== "containerd")
    throw new UsageError(`--write knows dockerd and containerd; ${client} is configured by hand`);
  if (isRemoval) await rm(file, { force: true });
  else await replaceFile(file, snippet.text);
  context.stdout.write(`${isRemoval ? "removed" : "written"}: ${file}\n`);
}

async function writeDaemonJson(
  file: string,
  url: string,
  isRemoval: boolean,
  invocation: Invocation,
  context: CliContext,
): Promise<void> {
  for (const unit of unitFiles(invocation)) {
    if (!unitSetsMirrors((await readOrNothing(unit)) ?? "")) continue;
    throw new UsageError(
      `${unit} starts dockerd with --registry-mirror, and dockerd does not start with the same setting in ${file}. Change the unit instead; nothing was written.`,
    );
  }
  const change = changeDaemonJson(await readOrNothing(file), url, isRemoval ? "remove" : "add");
  if ("problem" in change) throw new UsageError(`${file}: ${change.problem}; nothing was written`);
  if (!change.isChanged) {
    context.stdout.write(`${file} is as it should be already\n`);
    return;
  }
  await replaceFile(file, change.text);
  context.stdout.write(`written: ${file}\n`);
  const pidFile = invocation.text("pid-file") ?? "/var/run/docker.pid";
  const processId = Number((await readOrNothing(pidFile)) ?? "");
  if (!Number.isSafeInteger(processId) || processId <= 0) {
    context.stdout.write("dockerd does not run; it reads the file when it starts\n");
    return;
  }
  context.reload(processId);
  context.stdout.write(`dockerd (${processId}) reads it again; containers keep running\n`);
}

function unitFiles(invocation: Invocation): readonly string[] {
  const given = invocation.text("unit");
  if (given !== undefined) return [given];
  return [
    "/etc/systemd/system/docker.service.d/10-machine.conf",
    "/etc/systemd/system/docker.service",
    "/lib/systemd/system/docker.service",
    "/etc/default/docker",
  ];
}

/** Readers see the old file or the new one; its mode stays. */
async function replaceFile(file: string, text: string): Promise<void> {
  await makeDirectory(dirname(file));
  const mode = await stat(file).then(
    (facts) => facts.mode & 0o777,
    () => 0o644,
  );
  const temporary = `${file}.fleetfoot-mirror`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}

async function readOrNothing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
