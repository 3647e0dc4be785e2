import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { get as getSecurely } from "node:https";
import Docker from "dockerode";
import type { CommandAction, Invocation } from "../command.ts";
import { mirrorUrl } from "../clients/mirror-url.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import type { Overview } from "../serve/status-page.ts";
import type { ListenAddress } from "../settings/addresses.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { proxyFinding } from "./proxy-finding.ts";
import { askOperators } from "./operators-client.ts";

/** One thing that was looked at. */
interface Finding {
  readonly isGood: boolean;
  readonly text: string;
}

const patienceMs = 5000;

/** Checks the mirror and the engine of this machine. Nothing is changed. */
export const doctor: CommandAction = async (invocation, context) => {
  const settings = await loadSettings(invocation, context, { needsLogins: false });
  const { url } = await mirrorUrl(settings);
  const findings = [
    await checkMirror(url, context),
    ...(await checkUpstreams(invocation, context, settings.operators)),
    await checkEngine(invocation, url),
  ];
  for (const { isGood, text } of findings) context.stdout.write(`${isGood ? "ok  " : "FAIL"} ${text}\n`);
  return findings.every(({ isGood }) => isGood) ? 0 : 1;
};

async function checkMirror(url: string, context: CliContext): Promise<Finding> {
  const signal = AbortSignal.any([context.stop.forced, AbortSignal.timeout(patienceMs)]);
  try {
    const { headers, statusCode } = await ping(new URL("/v2/", url), signal);
    const isRegistry = headers["docker-distribution-api-version"] !== undefined;
    if (statusCode === 200 && isRegistry) return good(`the mirror answers at ${url}`);
    return bad(`${url} answers ${statusCode}, but not as a registry`);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    return bad(`no mirror answers at ${url}: ${cause}. Engines go to Docker Hub without a word.`);
  }
}

/** `fetch` refuses port 6000, which is the mirror's own. @see https://fetch.spec.whatwg.org/#port-blocking */
function ping(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? getSecurely : get;
  return new Promise((resolve, reject) => {
    send(url, { agent: false, signal }, (response) => resolve(response.resume())).on("error", reject);
  });
}

async function checkUpstreams(
  invocation: Invocation,
  context: CliContext,
  operators: ListenAddress,
): Promise<readonly Finding[]> {
  try {
    const { body } = await askOperators(invocation, "/status.json", {
      address: operators,
      signal: context.stop.forced,
    });
    const { requests, status, upstreamBytes } = body as Overview;
    const came =
      requests === 0
        ? bad("no pull has come to the mirror since it was started")
        : good(
            `${requests} requests have come to the mirror since it was started, ${upstreamBytes} bytes were fetched for them`,
          );
    return [
      ...status.upstreams.map(({ id, state }) =>
        state === "up" ? good(`upstream ${id} is not known to be away`) : bad(`upstream ${id}: ${state}`),
      ),
      ...(status.sharedStore === "failing" ? [bad("the shared store fails; blobs are kept on the disk only")] : []),
      came,
    ];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [bad(error.message)];
  }
}

async function checkEngine(invocation: Invocation, url: string): Promise<Finding> {
  const socketPath = invocation.text("socket") ?? "/var/run/docker.sock";
  try {
    const info = (await new Docker({ socketPath }).info()) as {
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
    const reason = error instanceof Error ? error.message : String(error);
    return bad(`no engine answers at ${socketPath}: ${reason}`);
  }
}

function good(text: string): Finding {
  return { isGood: true, text };
}

function bad(text: string): Finding {
  return { isGood: false, text };
}
