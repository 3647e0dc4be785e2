import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { DockerConfigurationError, messageOf } from "../errors.ts";
import type { MatchRegistryLogin } from "../types.ts";
import { parseReference } from "./reference.ts";

/** Who may pull from where. */
export interface RegistryLogins {
  /** The login for an image: that of the longest path that fits, of the first source that has it. */
  find(image: string): RegistryLogin | undefined;
}

interface RegistryLogin {
  /** Where it was found, for the job's log. */
  readonly source: string;
  /** Value of the header `X-Registry-Auth`. */
  readonly header: string;
}

export interface CredentialSources {
  /** Content of `DOCKER_AUTH_CONFIG`. */
  readonly authConfig: string | undefined;
  /** Home directory with `.docker/config.json` or `.dockercfg`. */
  readonly homeDirectory: string | undefined;
  readonly payload: readonly {
    readonly type: string;
    readonly url: string;
    readonly username: string;
    readonly password: string;
  }[];
  /** Environment of credential helpers. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Is asked before the names are compared here. */
  readonly registryAuth?: MatchRegistryLogin | undefined;
  readonly warn: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Gathers the logins of all sources. A source that cannot be used is left out with a warning.
 *
 * @throws {DockerConfigurationError} a credential helper has a path for a name
 * @see job-execution 2.3
 */
export async function readLogins(sources: CredentialSources): Promise<RegistryLogins> {
  const logins = new Map<string, KnownLogin>();
  const add = (registry: string, source: string, auth: Auth): void => {
    const url = normalise(registry);
    if (!logins.has(url)) logins.set(url, { type: "registry", url, source, auth });
  };
  const addFile = async (text: string, source: string): Promise<void> => {
    for (const [registry, auth] of await readAuthFile(text, sources)) add(registry, source, auth);
  };

  if (sources.authConfig !== undefined && sources.authConfig !== "") {
    await attempt(sources, "$DOCKER_AUTH_CONFIG", () => addFile(sources.authConfig ?? "", "$DOCKER_AUTH_CONFIG"));
  }
  for (const path of authFiles(sources.homeDirectory)) {
    let isThere = true;
    await attempt(sources, path, async () => {
      const text = await readIfThere(path);
      isThere = text !== undefined;
      if (text !== undefined) await addFile(text, path);
    });
    if (isThere) break;
  }
  for (const { type, url, username, password } of sources.payload) {
    if (type === "registry") add(url, "job payload (GitLab Registry)", { username, password });
  }
  return {
    find: (image) => {
      const match = sources.registryAuth?.(image, [...logins.values()]);
      const known = match?.credentials ?? longest(logins, image);
      if (known === undefined) return undefined;
      return { source: known.source, header: encode(match?.serverAddress ?? known.url, known.auth) };
    },
  };
}

interface KnownLogin {
  readonly type: "registry";
  /** Host and path, normalised. */
  readonly url: string;
  readonly source: string;
  readonly auth: Auth;
}

interface Auth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

interface AuthFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

interface AuthEntry extends Auth {
  /** Base64 of `user:password`. */
  readonly auth?: string;
}

async function attempt({ warn, signal }: CredentialSources, name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DockerConfigurationError) throw error;
    warn(`The registry credentials of ${name} are not used: ${messageOf(error)}`);
  }
}

/** Only the first that is there counts. */
function authFiles(home: string | undefined): string[] {
  return home === undefined ? [] : [join(home, ".docker", "config.json"), join(home, ".dockercfg")];
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Helpers of single registries beat the store, and the store beats what lies open in the file. */
async function readAuthFile(text: string, sources: CredentialSources): Promise<ReadonlyMap<string, Auth>> {
  const parsed = parseFile(text);
  const found = new Map<string, Auth>();
  for (const [registry, entry] of Object.entries(parsed.auths ?? {})) {
    const auth = readEntry(entry);
    if (auth !== undefined) found.set(registry, auth);
  }
  const { credsStore, credHelpers = {} } = parsed;
  for (const helper of [credsStore, ...Object.values(credHelpers)]) {
    if (helper !== undefined && /[/\\]/.test(helper)) {
      throw new DockerConfigurationError(
        `the credential helper ${JSON.stringify(helper)} has a path for a name; name a program docker-credential-NAME that is in the PATH`,
      );
    }
  }
  if (credsStore !== undefined && credsStore !== "") {
    const listed = parseObject(await runHelper(credsStore, "list", "", sources));
    for (const registry of Object.keys(listed)) found.set(registry, await askHelper(credsStore, registry, sources));
  }
  for (const [registry, helper] of Object.entries(credHelpers)) {
    await attempt(sources, `the helper docker-credential-${helper}`, async () => {
      found.set(registry, await askHelper(helper, registry, sources));
    });
  }
  return found;
}

/** The older form of the file has the registries at its top. */
function parseFile(text: string): AuthFile {
  const parsed = parseObject(text);
  const isNew = "auths" in parsed || "credsStore" in parsed || "credHelpers" in parsed;
  return isNew ? (parsed as AuthFile) : { auths: parsed as Readonly<Record<string, AuthEntry>> };
}

function parseObject(text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // What the parser says may quote a password.
    throw new Error("it is not valid JSON");
  }
  if (typeof parsed !== "object" || parsed === null) throw new Error("it is not a JSON object");
  return parsed;
}

function readEntry(entry: AuthEntry): Auth | undefined {
  const { auth, username, password, identitytoken } = entry;
  const token = identitytoken === undefined ? {} : { identitytoken };
  if (auth === undefined || auth === "") {
    return username === undefined || password === undefined ? undefined : { username, password, ...token };
  }
  const decoded = Buffer.from(auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon === -1) throw new Error("an entry's auth is not the base64 form of user:password");
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, ""), ...token };
}

/** @see https://github.com/docker/docker-credential-helpers#development */
async function askHelper(helper: string, registry: string, sources: CredentialSources): Promise<Auth> {
  const answer = parseObject(await runHelper(helper, "get", registry, sources)) as {
    readonly Username?: string;
    readonly Secret?: string;
  };
  const { Username: username = "", Secret: secret = "" } = answer;
  return username === "<token>" ? { identitytoken: secret } : { username, password: secret };
}

const HELPER_LIMIT_MS = 30_000;

function runHelper(
  helper: string,
  command: "get" | "list",
  input: string,
  { environment, signal }: CredentialSources,
): Promise<string> {
  const name = `docker-credential-${helper}`;
  return new Promise((resolve, reject) => {
    const child = spawn(name, [command], {
      env: environment,
      stdio: ["pipe", "pipe", "ignore"],
      signal: AbortSignal.any([signal, AbortSignal.timeout(HELPER_LIMIT_MS)]),
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => reject(new Error(`${name} could not be run: ${error.message}`)));
    child.once("close", (code) => {
      // What it printed may be a secret.
      if (code === 0) resolve(text);
      else reject(new Error(`${name} ${command} ended with ${code}`));
    });
    child.stdin.end(input);
  });
}

/** Lower-case host and path, by which entries and images are compared. */
function normalise(registry: string): string {
  const isUrl = /^[a-z]+:\/\//i.test(registry);
  const bare = registry.replace(/^[a-z]+:\/\//i, "").replace(/\/+$/, "");
  const [host = "", ...path] = bare.split("/");
  const lower = host.toLowerCase();
  const known = lower === "index.docker.io" || lower === "registry-1.docker.io" ? "docker.io" : lower;
  return isUrl || path.length === 0 || (known === "docker.io" && path[0] === "v1") ? known : [known, ...path].join("/");
}

function longest(logins: ReadonlyMap<string, KnownLogin>, image: string): KnownLogin | undefined {
  const { name } = parseReference(image);
  const [first = ""] = name.split("/");
  const hasHost = name.includes("/") && (/[.:]/.test(first) || first === "localhost");
  const parts = normalise(hasHost ? name : `docker.io/${name}`).split("/");
  for (let length = parts.length; length > 0; length -= 1) {
    const login = logins.get(parts.slice(0, length).join("/"));
    if (login !== undefined) return login;
  }
  return undefined;
}

function encode(registry: string, auth: Auth): string {
  const [host = ""] = registry.split("/");
  const serveraddress = host === "docker.io" ? "https://index.docker.io/v1/" : host;
  // The engine wants the padding that Node's own base64url leaves out.
  return Buffer.from(JSON.stringify({ ...auth, serveraddress }))
    .toString("base64")
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}
