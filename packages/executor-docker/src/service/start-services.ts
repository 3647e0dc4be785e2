import { expandReferences } from "@fleetfoot/cache-key";

import type { JobBelongings } from "../container/cleanup.ts";
import { hostConfig } from "../container/host-config.ts";
import { createContainer } from "../container/job-container.ts";
import { labelName } from "../container/names.ts";
import type { VolumeMount } from "../container/mounts.ts";
import type { JobNames } from "../container/names.ts";
import { demultiplex } from "../engine/demultiplex.ts";
import type { Engine } from "../engine/engine.ts";
import { TextSink } from "../engine/text-sink.ts";
import { messageOf } from "../errors.ts";
import type { PresentImage } from "../image/pull.ts";
import { parseReference } from "../image/reference.ts";
import type { DockerPrepareRequest, DockerSettings, Sleep } from "../types.ts";
import { followLog } from "./follow-log.ts";
import type { PlannedService } from "./plan-services.ts";
import { awaitReadiness } from "./readiness.ts";

export interface StartServicesOptions {
  readonly engine: Engine;
  readonly services: readonly PlannedService[];
  readonly obtain: (service: PlannedService) => Promise<PresentImage>;
  readonly settings: DockerSettings;
  readonly request: DockerPrepareRequest;
  readonly names: JobNames;
  readonly labels: Readonly<Record<string, string>>;
  readonly mounts: readonly VolumeMount[];
  /** Network of the job's own; undefined: the configured one. */
  readonly network: string | undefined;
  readonly belongings: JobBelongings;
  readonly sleep: Sleep;
  readonly now: () => number;
}

/** @returns entries `alias:address` for the hosts file of the job's container; none where the network has names itself */
export async function startServices(options: StartServicesOptions): Promise<readonly string[]> {
  const { services, request } = options;
  if (services.length === 0) return [];
  const images = await Promise.all(services.map((service) => options.obtain(service)));
  // All have settled before one fails the job: what is made later than that would belong to nobody.
  const starting = services.map((service, index) =>
    startService(service, images[index] as PresentImage, index, options),
  );
  await Promise.allSettled(starting);
  const started = await Promise.all(starting);
  const seconds = options.settings.waitForServicesTimeout ?? 0;
  if (seconds >= 0) {
    const timeoutMs = (seconds === 0 ? DEFAULT_WAIT_S : seconds) * 1_000;
    request.log(`Waiting for services to be up and running (timeout ${timeoutMs / 1_000} seconds)...`);
    await Promise.all(started.map((service) => waitForService(service, timeoutMs, options)));
  }
  if (options.network !== undefined) return [];
  return started.flatMap(({ planned, id, address }) =>
    address === undefined ? [] : [...planned.aliases, id.slice(0, SHORT_ID)].map((alias) => `${alias}:${address}`),
  );
}

const DEFAULT_WAIT_S = 30;
const SHORT_ID = 12;
const MOST_PORTS = 20;

interface StartedService {
  readonly planned: PlannedService;
  readonly image: PresentImage;
  readonly id: string;
  readonly name: string;
  readonly address: string | undefined;
  readonly ports: readonly number[];
}

async function startService(
  planned: PlannedService,
  image: PresentImage,
  index: number,
  options: StartServicesOptions,
): Promise<StartedService> {
  const { engine, settings, names, labels, mounts, network, belongings, request } = options;
  const { name: path, tag = "latest" } = parseReference(planned.image);
  request.log(`Starting service ${path}:${tag}...`);
  const [alias = "service"] = planned.aliases;
  const name = `${names.job}-${alias.replaceAll(/[^a-zA-Z0-9_.-]/g, "")}-${index}`;
  const variables = serviceVariables(planned, request);
  const id = await createContainer({
    engine,
    name,
    platform: planned.platform,
    type: "service",
    labels: { ...labels, [labelName("service")]: path, [labelName("service.version")]: tag },
    configuration: {
      Image: image.reference,
      Env: [...variables].map(([key, value]) => `${key}=${value}`),
      ...(planned.command === undefined ? {} : { Cmd: [...planned.command] }),
      ...(planned.entrypoint === undefined ? {} : { Entrypoint: [...planned.entrypoint] }),
      ...(planned.user === undefined ? {} : { User: planned.user }),
      HostConfig: await hostConfig({
        settings,
        kind: "service",
        image: planned.image,
        mounts,
        extraHosts: [],
        network,
      }),
      ...(network === undefined
        ? {}
        : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...planned.aliases] } } } }),
    },
  });
  belongings.container(id);
  await engine.call(`start the service ${planned.image}`, (docker) => docker.getContainer(id).start(), {
    signal: request.signal,
  });
  const { serviceOutput: output } = request;
  // The name that the job gave it, if it gave one.
  if (output !== undefined) void followLog({ engine, containerId: id, alias: planned.aliases.at(-1) ?? alias, output });
  const { NetworkSettings: networking } = await engine.call(
    "inspect a service",
    (docker) => docker.getContainer(id).inspect(),
    { signal: request.signal },
  );
  const addresses = Object.values(networking.Networks).map(({ IPAddress: address }) => address);
  return { planned, image, id, name, address: addresses.find(Boolean), ports: portsOf(variables, image) };
}

/** What may be shown to a service, and its own. */
function serviceVariables(planned: PlannedService, request: DockerPrepareRequest): ReadonlyMap<string, string> {
  const shown = [...request.variables].filter(([name]) => request.publicVariables.has(name));
  const lookup = (name: string): string | undefined => request.variables.get(name);
  const own = planned.variables.map(
    ({ key, value, raw }) => [key, raw === true ? value : expandReferences(value, lookup)] as const,
  );
  return new Map([...shown, ...own]);
}

function portsOf(variables: ReadonlyMap<string, string>, { exposedPorts }: PresentImage): readonly number[] {
  const chosen = Number(variables.get("HEALTHCHECK_TCP_PORT"));
  if (Number.isInteger(chosen) && chosen > 0) return [chosen];
  return exposedPorts
    .filter((port) => port.endsWith("/tcp"))
    .map((port) => Number.parseInt(port, 10))
    .toSorted((left, right) => left - right)
    .slice(0, MOST_PORTS);
}

/** A service that is not ready is told in the log and never fails the job. */
async function waitForService(
  service: StartedService,
  timeoutMs: number,
  options: StartServicesOptions,
): Promise<void> {
  const { engine, request, sleep, now } = options;
  const { signal } = request;
  const readiness = await awaitReadiness({
    engine,
    containerId: service.id,
    hasHealthCheck: service.image.hasHealthCheck,
    ports: service.ports,
    address: "socketPath" in engine.address.place ? service.address : undefined,
    timeoutMs,
    sleep,
    now,
    signal,
  });
  if (readiness.state === "ready") return;
  const { reason, checkOutput = [] } = readiness;
  if (readiness.state === "unknown") {
    request.log(`Service ${service.name} is not waited for: ${reason}`);
    return;
  }
  const log = await readLog(engine, service.id, signal);
  request.log("");
  request.warn(`*** Service ${service.name} probably didn't start properly.`);
  request.log(`Health check error: service "${service.name}": ${reason}`);
  if (checkOutput.length > 0) request.log("Health check output:");
  for (const line of checkOutput) request.log(line);
  request.log("Service container logs:");
  for (const line of log.split("\n")) request.log(line);
  request.log("*********");
}

async function readLog(engine: Engine, id: string, signal: AbortSignal): Promise<string> {
  try {
    const path = `/containers/${id}/logs?stdout=1&stderr=1&timestamps=1&tail=1000`;
    const answer = await engine.open({ what: "read the log of a service", method: "GET", path, signal });
    const text = new TextSink();
    await demultiplex(answer, { stdout: text, stderr: text }, { stdout: 0, stderr: 0 });
    return text.text.trimEnd();
  } catch (error) {
    signal.throwIfAborted();
    return `(no log: ${messageOf(error)})`;
  }
}
