import { createMirror, createNodeListener, RegistryMirrorError } from "@fleetfoot/registry-mirror";
import type { RegistryMirror } from "@fleetfoot/registry-mirror";
import { decideProxy, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { createProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import type { CommandAction } from "../command.ts";
import { mirrorUrl } from "../clients/mirror-url.ts";
import { registriesOf } from "../clients/registries.ts";
import { snippetFor } from "../clients/snippets.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { formatAddress } from "../settings/addresses.ts";
import type { ListenAddress } from "../settings/addresses.ts";
import { loadSettings } from "../settings/load-settings.ts";
import type { Settings } from "../settings/read-settings.ts";
import { openConnect } from "./connect.ts";
import type { OpenedConnect } from "./connect.ts";
import { certificateWarnings } from "./certificate-warnings.ts";
import { checkStore } from "./check-store.ts";
import { closeGracefully, listen } from "./listen.ts";
import type { Listening } from "./listen.ts";
import { createLog } from "./log.ts";
import { openStore } from "./open-store.ts";
import { createOperatorsListener } from "./operators.ts";
import { refuseOwnUpstreams } from "./own-address.ts";
import { PrometheusPage } from "./prometheus.ts";

const stopWithinMs = 30_000;
/** A mirror is there for its clients also while the store is away, and not much later. */
const storePatienceMs = 5000;

/** Serves until it is told to stop, and then until everybody has what is on its way to him. */
export const serve: CommandAction = async (invocation, context) => {
  const settings = await loadSettings(invocation, context);
  refuseOwnUpstreams(settings);
  const log = createLog(context.stderr, context.now);
  const mirror = await openMirror(settings, context);
  const prometheus = new PrometheusPage();
  const listening: Listening[] = [];
  const maintenance = new AbortController();
  let connect: OpenedConnect | undefined;
  try {
    connect = await openConnect({ settings, mirror, context, logger: log, addresses: () => addressesOf(listening) });
    for (const { entry, ...address } of settings.listeners) {
      const listener = createNodeListener(mirror, entry === undefined ? {} : { entry });
      listening.push(await listen(address, listener, settings.tls, connect?.handler));
    }
    const upstreams = Object.keys(settings.mirror.upstreams);
    const operators = await listen(
      settings.operators,
      createOperatorsListener({ mirror, prometheus, upstreams, moreSamples: () => connect?.handler.metrics() ?? [] }),
      undefined,
    );
    listening.push(operators);
    context.stop.onServing();
    await announce(settings, listening.slice(0, -1), operators, connect, context);
    const stopReloading = context.stop.onReload(() => {
      if (settings.tls === undefined) return;
      Promise.all(listening.map((one) => one.reloadTls())).then(
        () => log.info("the certificate was read again"),
        (error: unknown) => log.error("the certificate was not read again", { error }),
      );
    });
    const maintained = mirror.maintain(maintenance.signal);
    await aborted(context.stop.graceful);
    context.stderr.write("stopping: bodies that are on their way may finish\n");
    const limit = AbortSignal.any([context.stop.forced, AbortSignal.timeout(stopWithinMs)]);
    const tunnels = connect?.handler.close(limit);
    await Promise.all([tunnels, ...listening.map(({ server }) => closeGracefully(server, limit))]);
    stopReloading();
    maintenance.abort();
    await maintained;
  } finally {
    maintenance.abort();
    await connect?.handler.close(AbortSignal.abort());
    for (const { server } of listening) server.close().closeAllConnections();
    prometheus.close();
    await mirror.close();
  }
  return 0;
};

async function openMirror(settings: Settings, context: CliContext): Promise<RegistryMirror> {
  const store = settings.store === undefined ? undefined : await openStore(settings.store);
  if (settings.store !== undefined && store !== undefined) {
    const problem = await checkStore(store, settings.store, AbortSignal.timeout(storePatienceMs));
    if (problem?.isLasting === true) throw new UsageError(problem.text);
    if (problem !== undefined)
      context.stderr.write(`warning: ${problem.text}; blobs are kept on the disk only until it works\n`);
  }
  const proxies = readProxyEnvironment(context.environment);
  const hasProxy = proxies.http !== undefined || proxies.https !== undefined || proxies.all !== undefined;
  try {
    return await createMirror({
      ...settings.mirror,
      logger: createLog(context.stderr, context.now),
      ...(store === undefined ? {} : { store }),
      ...(hasProxy ? { dispatcher: createProxyDispatcher({ decide: (url) => decideProxy(proxies, url) }) } : {}),
    });
  } catch (error) {
    if (RegistryMirrorError.isInstance(error)) throw new UsageError(error.message, { cause: error });
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${settings.mirror.directory} cannot be used: ${reason}`, { cause: error });
  }
}

async function announce(
  settings: Settings,
  clients: readonly Listening[],
  operators: Listening,
  connect: OpenedConnect | undefined,
  context: CliContext,
): Promise<void> {
  const scheme = settings.tls === undefined ? "http" : "https";
  for (const warning of settings.warnings) context.stderr.write(`warning: ${warning}\n`);
  for (const { address } of clients) context.stdout.write(`serving on ${scheme}://${formatAddress(address)}\n`);
  context.stdout.write(`for operators: http://${formatAddress(operators.address)}/\n`);
  const listeners = clients.map(({ address }, index) => ({ ...address, entry: settings.listeners[index]?.entry }));
  const choice = await mirrorUrl({ ...settings, listeners });
  for (const warning of await certificateWarnings(settings, choice.url, context.now()))
    context.stderr.write(`warning: ${warning}\n`);
  for (const warning of connect?.ca.warnings ?? []) context.stderr.write(`warning: ${warning}\n`);
  if (connect !== undefined) {
    context.stdout.write(
      `HTTP proxy for ${connect.hosts.join(", ")} (fleetfoot-mirror configure connect); its certificate authority: SHA-256 ${connect.ca.fingerprint}\n`,
    );
  }
  for (const remark of choice.remarks) context.stdout.write(`${remark}\n`);
  const { text } = snippetFor("dockerd", { url: choice.url, registries: registriesOf(settings) });
  context.stdout.write(
    `Docker engines use it with this in /etc/docker/daemon.json (others: fleetfoot-mirror configure):\n${text}`,
  );
}

function addressesOf(listening: readonly Listening[]): readonly ListenAddress[] {
  return listening.map(({ address }) => address);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
