import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { get as getSecurely } from "node:https";
import type { Socket } from "node:net";
import { checkServerIdentity, TLSSocket } from "node:tls";
import Docker from "dockerode";
import type { CommandAction, Invocation } from "../command.ts";
import { mirrorUrl } from "../clients/mirror-url.ts";
import { UsageError } from "../errors.ts";
import { checkStore, storeName } from "../serve/check-store.ts";
import { openStore } from "../serve/open-store.ts";
import type { Overview } from "../serve/status-page.ts";
import type { ListenAddress } from "../settings/addresses.ts";
import { loadSettings } from "../settings/load-settings.ts";
import type { Settings } from "../settings/read-settings.ts";
import { proxyFinding } from "./proxy-finding.ts";
import { askOperators } from "./operators-client.ts";

/** One thing that was looked at, or could not be and need not be. */
interface Finding {
  readonly kind: "bad" | "good" | "note";
  readonly text: string;
}

const patienceMs = 5000;

const marks: Readonly<Record<Finding["kind"], string>> = { good: "ok  ", bad: "FAIL", note: "--  " };

/** How this machine is looked at. */
export interface DoctorOptions {
  /** Where the engine is looked for when nobody says where it is. @default /var/run/docker.sock */
  readonly engineSocket?: string;
  /** Made for each question, and aborted when its answer has taken too long. @default after 5 s */
  readonly patience?: (asked: "mirror" | "operators" | "store") => AbortSignal;
}

/** Makes the command that checks the mirror and the engine of this machine. Nothing is changed. */
export function createDoctor({
  engineSocket = "/var/run/docker.sock",
  patience = () => AbortSignal.timeout(patienceMs),
}: DoctorOptions = {}): CommandAction {
  return async (invocation, context) => {
    const settings = await loadSettings(invocation, context, { needsLogins: false });
    const { url } = await mirrorUrl(settings, invocation.flag("tls") ? { hasTls: true } : {});
    const { forced } = context.stop;
    // Each stands alone: none waits for another, nor fails because of it.
    const probes = await Promise.all([
      checkMirror(url, AbortSignal.any([forced, patience("mirror")])),
      checkUpstreams(invocation, settings.operators, { signal: forced, patience: patience("operators") }),
      checkEngine(invocation, url, engineSocket),
      checkSharedStore(settings, AbortSignal.any([forced, patience("store")])),
    ]);
    const findings = probes.flat();
    for (const { kind, text } of findings) context.stdout.write(`${marks[kind]} ${text}\n`);
    return findings.some(({ kind }) => kind === "bad") ? 1 : 0;
  };
}

/** The command as it is run. */
export const doctor: CommandAction = createDoctor();

async function checkMirror(url: string, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    const { headers, socket, statusCode } = await ping(new URL("/v2/", url), signal);
    const isRegistry = headers["docker-distribution-api-version"] !== undefined;
    if (statusCode !== 200 || !isRegistry) return [bad(`${url} answers ${statusCode}, but not as a registry`)];
    return [good(`the mirror answers at ${url}`), ...certificateFindings(socket, url)];
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    const hint = /hang up|EPROTO|wrong version/i.test(cause) ? " Does it speak TLS, or not (--tls)?" : "";
    return [bad(`no mirror answers at ${url}: ${cause}.${hint} Engines go to Docker Hub without a word.`)];
  }
}

/** A name that does not fit is refused by every client; an authority may be known to the engine, and not to this program. */
function certificateFindings(socket: Socket, url: string): readonly Finding[] {
  if (!(socket instanceof TLSSocket) || socket.authorized) return [];
  const reason = String(socket.authorizationError);
  const wrong = checkServerIdentity(new URL(url).hostname.replace(/^\[|\]$/g, ""), socket.getPeerCertificate());
  if (wrong !== undefined) return [bad(`its certificate is for another name: ${wrong.message}`)];
  if (reason === "CERT_HAS_EXPIRED") return [bad("its certificate has expired")];
  return [
    note(`its certificate is not known to this program (${reason}); engines need its authority (configure says where)`),
  ];
}

/** `fetch` refuses port 6000, which is the mirror's own. @see https://fetch.spec.whatwg.org/#port-blocking */
function ping(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const isSecure = url.protocol === "https:";
  const send = isSecure ? getSecurely : get;
  return new Promise((resolve, reject) => {
    // The certificate is looked at afterwards.
    send(url, { agent: false, signal, ...(isSecure ? { rejectUnauthorized: false } : {}) }, (response) =>
      resolve(response.resume()),
    ).on("error", reject);
  });
}

async function checkUpstreams(
  invocation: Invocation,
  operators: ListenAddress,
  limits: { readonly signal: AbortSignal; readonly patience: AbortSignal },
): Promise<readonly Finding[]> {
  try {
    const { body } = await askOperators(operators, "/status.json", limits);
    const { requests, status, upstreamBytes } = body as Overview;
    const came =
      requests === 0
        ? note("no pull has come to the mirror since it was started")
        : good(
            `${requests} requests have come to the mirror since it was started, ${upstreamBytes} bytes were fetched for them`,
          );
    return [
      ...status.upstreams.map(({ id, state }) =>
        state === "up" ? good(`upstream ${id} is not known to be away`) : bad(`upstream ${id}: ${state}`),
      ),
      ...(status.diskProblem === undefined ? [] : [bad(`nothing can be stored: ${status.diskProblem}`)]),
      ...(status.sharedStore === "failing" ? [bad("the shared store fails; blobs are kept on the disk only")] : []),
      came,
    ];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const isNamed = invocation.text("operators") !== undefined || invocation.text("config") !== undefined;
    return [
      isNamed ? bad(error.message) : note(`${error.message} It is asked on the machine of the mirror (--operators).`),
    ];
  }
}

async function checkSharedStore({ store: settings }: Settings, signal: AbortSignal): Promise<readonly Finding[]> {
  if (settings === undefined) return [];
  try {
    const problem = await checkStore(await openStore(settings), settings, signal);
    return [problem === undefined ? good(`${storeName(settings)} answers`) : bad(problem.text)];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [bad(error.message)];
  }
}

async function checkEngine(invocation: Invocation, url: string, usualSocket: string): Promise<Finding> {
  const socketPath = invocation.text("socket") ?? usualSocket;
  try {
    const info = (await new Docker({ socketPath, timeout: patienceMs }).info()) as {
      readonly HttpsProxy?: string;
      readonly RegistryConfig?: { readonly Mirrors?: readonly string[] | null };
    };
    const proxied = proxyFinding(info.HttpsProxy, url);
    if (proxied !== undefined) return good(proxied);
    const mirrors = (info.RegistryConfig?.Mirrors ?? []).map((mirror) => mirror.replace(/\/+$/, ""));
    if (mirrors.includes(url)) return good(`the engine at ${socketPath} uses ${url} for Docker Hub`);
    const others = mirrors.length === 0 ? "no mirror" : mirrors.join(", ");
    return bad(
      `the engine at ${socketPath} uses ${others}; fleetfoot-mirror configure dockerd --write --advertise ${new URL(url).host} changes that`,
    );
  } catch (error) {
    const isAbsent =
      error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ECONNREFUSED");
    if (isAbsent && invocation.text("socket") === undefined)
      return note(`there is no Docker engine at ${socketPath} (--socket), so nothing is known of how it pulls`);
    const reason = error instanceof Error ? error.message : String(error);
    return bad(`no engine answers at ${socketPath}: ${reason}`);
  }
}

function good(text: string): Finding {
  return { kind: "good", text };
}

function bad(text: string): Finding {
  return { kind: "bad", text };
}

function note(text: string): Finding {
  return { kind: "note", text };
}
