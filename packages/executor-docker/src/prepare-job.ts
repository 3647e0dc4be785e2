import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, posix } from "node:path";

import { expandReferences } from "@fleetfoot/cache-key";

import { JobBelongings } from "./container/cleanup.ts";
import { hostConfig } from "./container/host-config.ts";
import { createContainer } from "./container/job-container.ts";
import { jobLabels, jobNames, labelName, volumeSuffix } from "./container/names.ts";
import type { JobNames } from "./container/names.ts";
import { shellCommand } from "./container/shell-command.ts";
import { isProtectedJob, planVolumes } from "./container/volumes.ts";
import type { JobVolumes } from "./container/volumes.ts";
import type { Engine } from "./engine/engine.ts";
import { TextSink } from "./engine/text-sink.ts";
import { createDockerEnvironment } from "./environment.ts";
import { DockerConfigurationError } from "./errors.ts";
import { checkAllowed, chooseUser } from "./image/allowed.ts";
import { readLogins } from "./image/credentials.ts";
import type { RegistryLogins } from "./image/credentials.ts";
import { effectivePolicies } from "./image/pull-policy.ts";
import { obtainImage } from "./image/pull.ts";
import type { PresentImage } from "./image/pull.ts";
import { dockerOptions, planServices } from "./service/plan-services.ts";
import { startServices } from "./service/start-services.ts";
import type { DockerDirectories, DockerEnvironment, DockerExecutorOptions, DockerPrepareRequest } from "./types.ts";
import { createArchiveTransport, putArchive } from "./workspace/archive-transport.ts";
import { chooseTransport, probeSharedFiles } from "./workspace/choose-transport.ts";
import { createSharedTransport, makeSharedDirectory } from "./workspace/shared-transport.ts";
import type { Transport } from "./workspace/transport.ts";
import { createWorkspace } from "./workspace/workspace.ts";

/** What all jobs of an executor have in common, its defaults filled in. */
export interface ExecutorContext {
  readonly engine: Engine;
  readonly options: DockerExecutorOptions &
    Required<
      Pick<DockerExecutorOptions, "now" | "randomHex" | "reconnectMs" | "silenceCheckMs" | "sleep" | "stopGraceMs">
    >;
  readonly userId: number | undefined;
  /** Remembers whether this host and the engine see the same files. */
  readonly sharesFiles: (probe: () => Promise<boolean>) => Promise<boolean>;
}

/** Everything up to the first script: images, volumes, network, services, the container. @see job-execution 2.2 */
export async function prepareJob(context: ExecutorContext, request: DockerPrepareRequest): Promise<DockerEnvironment> {
  const { engine, options } = context;
  const settings = options.settings ?? {};
  const belongings = new JobBelongings(engine, settings.volumeKeep === true);
  const host: HostPlace = { removals: [] };
  try {
    return await prepare(context, request, belongings, host);
  } catch (error) {
    // What fails here is what is told; the sweep takes care of what is left.
    await Promise.allSettled([belongings.remove(), ...host.removals.map((remove) => remove())]);
    request.signal.throwIfAborted();
    throw error;
  }
}

interface HostPlace {
  readonly removals: (() => Promise<void>)[];
}

async function prepare(
  context: ExecutorContext,
  request: DockerPrepareRequest,
  belongings: JobBelongings,
  host: HostPlace,
): Promise<DockerEnvironment> {
  const { engine, options } = context;
  const { runner } = options;
  const settings = options.settings ?? {};
  const { payload, directories, signal } = request;
  const lookup = (name: string): string | undefined => request.variables.get(name);
  const image = chooseImage(request, settings.image, lookup);
  const fromJob = payload.image ?? { name: image };
  checkBuilds(directories);
  checkAllowed("image", image, settings, request.log);
  const wanted = dockerOptions(fromJob);
  const user = chooseUser(wanted.user === undefined ? undefined : expandReferences(wanted.user, lookup), settings);
  const policies = effectivePolicies(fromJob.pull_policy, settings);
  const { services, warnings } = planServices(payload.services, settings, lookup);
  for (const service of services) checkAllowed("service", service.image, settings, request.log);
  for (const warning of warnings) request.warn(warning);
  request.log(`Using Docker executor with image ${image} ...`);

  const names = jobNames({
    runner,
    projectId: request.projectId,
    concurrentProjectId: request.concurrentProjectId,
    jobId: request.jobId,
    random: options.randomHex(16),
  });
  const labels = {
    ...configuredLabels(settings.containerLabels ?? {}, lookup),
    ...jobLabels({ job: payload, runner, jobUrl: lookup("CI_JOB_URL") ?? "" }),
  };
  const isProtected = isProtectedJob(payload, lookup);
  const volumes = planVolumes({
    settings,
    names,
    project: directories.project,
    builds: directories.builds,
    isProtected,
    lookup,
  });
  const logins = await readLogins({
    authConfig: request.lookupContent("DOCKER_AUTH_CONFIG"),
    homeDirectory: options.homeDirectory,
    payload: payload.credentials,
    environment: options.environment ?? {},
    registryAuth: options.registryAuth,
    warn: request.warn,
    signal,
  });
  const pulling = createPuller(context, request, logins);
  const network = await createNetwork(context, request, names, labels, belongings);
  for (const volume of volumes.named) {
    const type = { [labelName("type")]: "cache", [labelName("destination")]: volume.destination };
    const kind = {
      [labelName("protected")]: String(isProtected),
      [labelName("reusable")]: String(volume.reusable),
    };
    await createVolume(context, volume.name, { ...labels, ...type, ...kind });
    if (!volume.reusable) belongings.volume(volume.name);
  }
  // A mistake in the image's name shows at once, and not after the services.
  const present = await pulling(image, policies, wanted.platform);
  const { place, transport } = await openTransport(context, {
    request,
    names,
    labels,
    volumes,
    belongings,
    host,
    isProtected,
    image: present,
    user: user ?? present.user,
    hasServices: services.length > 0,
  });
  request.log(transport.description);
  const binds = [...volumes.binds, ...(transport.bind === undefined ? [] : [transport.bind])];
  const extraHosts = await startServices({
    engine,
    services,
    obtain: (service) => pulling(service.image, effectivePolicies(service.pullPolicy, settings), service.platform),
    settings,
    request,
    names,
    labels,
    binds,
    network,
    belongings,
    sleep: options.sleep,
    now: options.now,
  });

  const hostName = settings.hostname ?? names.host;
  const create = async (): Promise<string> => {
    const id = await createContainer({
      engine,
      name: `${names.job}-build`,
      platform: wanted.platform,
      type: "build",
      labels,
      configuration: {
        Image: present.reference,
        Hostname: hostName,
        Cmd: shellCommand(),
        ...entrypointOf(fromJob.entrypoint, settings.disableEntrypointOverwrite === true, request.warn),
        Env: [...request.variables].map(([name, value]) => `${name}=${value}`),
        Tty: false,
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        OpenStdin: true,
        StdinOnce: true,
        ...(user === undefined ? {} : { User: user }),
        ...(settings.macAddress === undefined ? {} : { MacAddress: settings.macAddress }),
        HostConfig: await hostConfig({ settings, kind: "build", image, binds, extraHosts, network }),
        ...(network === undefined
          ? {}
          : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: ["build"] } } } }),
      },
    });
    belongings.container(id);
    return id;
  };
  const containerId = await create();
  const hasUntracked = wantsUntracked(payload);
  const environment = createDockerEnvironment({
    context,
    request,
    belongings,
    containerId,
    containerName: `${names.job}-build`,
    recreate: async () => {
      const id = await create();
      transport.moveTo(id);
      return id;
    },
    ownProcesses: settings.pidMode === undefined || settings.pidMode === "",
    description: `${hostName} via ${runner.hostName ?? hostname()}`,
    networkName: network,
    workspace: createWorkspace({
      transport,
      scripts: directories,
      host: place,
      environmentFile: request.variables.get("GITLAB_ENV"),
      keepsRepository: request.keepsWorkingCopy || hasUntracked,
    }),
    removeFromHost: async () => {
      await Promise.all(host.removals.map((remove) => remove()));
    },
  });
  if (volumes.coversBuilds) await removeOldFiles(environment, request);
  await transport.begin({ id: containerId, directories: openDirectories(directories, volumes), signal });
  await openVolumes(engine, containerId, volumes, signal);
  return environment;
}

/** A volume of the configuration's own at the builds directory has the files of the job before, and only a script can remove them. */
async function removeOldFiles(environment: DockerEnvironment, request: DockerPrepareRequest): Promise<void> {
  const { project, temporary } = request.directories;
  const quoted = [project, temporary].map((path) => `'${path.replaceAll("'", "'\\''")}'`).join(" ");
  const output = new TextSink();
  const exit = await environment.run({
    script: `rm -rf ${quoted} </dev/null\nexit $?\n`,
    stdout: output,
    stderr: output,
    signal: request.signal,
  });
  request.signal.throwIfAborted();
  if (exit.code !== 0) request.warn(`The files of the job before could not be removed: ${output.text.trim()}`);
}

function chooseImage(
  { payload, log }: DockerPrepareRequest,
  configured: string | undefined,
  lookup: (name: string) => string | undefined,
): string {
  const wanted = expandReferences(payload.image?.name ?? "", lookup);
  if (wanted !== "") return wanted;
  if (configured === undefined || configured === "") {
    throw new DockerConfigurationError(
      "no Docker image specified to run the build in; give the job an image, or the runner a default one",
    );
  }
  log("Using default image");
  return expandReferences(configured, lookup);
}

function checkBuilds({ builds }: DockerDirectories): void {
  if (!posix.isAbsolute(builds) || builds === "/") {
    throw new DockerConfigurationError(
      `builds_dir must be an absolute path other than /, not ${JSON.stringify(builds)}`,
    );
  }
}

function configuredLabels(
  labels: Readonly<Record<string, string>>,
  lookup: (name: string) => string | undefined,
): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, expandReferences(value, lookup)]));
}

/** An image is pulled once in a job, however often it is used. */
function createPuller(
  { engine, options }: ExecutorContext,
  request: DockerPrepareRequest,
  logins: RegistryLogins,
): (
  image: string,
  policies: ReturnType<typeof effectivePolicies>,
  platform: string | undefined,
) => Promise<PresentImage> {
  const pulled = new Map<string, Promise<PresentImage>>();
  return (image, policies, platform) => {
    const key = JSON.stringify([image, policies, platform]);
    const known = pulled.get(key);
    if (known !== undefined) return known;
    const pulling = obtainImage(image, {
      engine,
      policies,
      platform,
      logins,
      reference: options.imageReference?.(image, request) ?? image,
      log: request.log,
      warn: request.warn,
      sleep: options.sleep,
      signal: request.signal,
    });
    pulled.set(key, pulling);
    return pulling;
  };
}

async function createNetwork(
  { engine, options }: ExecutorContext,
  { variables }: DockerPrepareRequest,
  names: JobNames,
  labels: Readonly<Record<string, string>>,
  belongings: JobBelongings,
): Promise<string | undefined> {
  const { networkMode, networkMtu, enableIpv6 } = options.settings ?? {};
  const isWanted = ["1", "t", "T", "true", "TRUE", "True"].includes(variables.get("FF_NETWORK_PER_BUILD") ?? "");
  if (!isWanted || (networkMode !== undefined && networkMode !== "")) return undefined;
  await engine.call("create a network", (docker) =>
    docker.createNetwork({
      Name: names.network,
      Driver: "bridge",
      Labels: labels,
      EnableIPv6: enableIpv6 === true,
      CheckDuplicate: true,
      ...(networkMtu === undefined || networkMtu === 0
        ? {}
        : { Options: { "com.docker.network.driver.mtu": String(networkMtu) } }),
    }),
  );
  belongings.network(names.network);
  return names.network;
}

async function createVolume(
  { engine, options }: ExecutorContext,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const { volumeDriver, volumeDriverOptions } = options.settings ?? {};
  await engine.call("create a volume", (docker) =>
    docker.createVolume({
      Name: name,
      Labels: labels,
      ...(volumeDriver === undefined || volumeDriver === "" ? {} : { Driver: volumeDriver }),
      ...(volumeDriverOptions === undefined ? {} : { DriverOpts: { ...volumeDriverOptions } }),
    }),
  );
}

interface TransportFacts {
  readonly request: DockerPrepareRequest;
  readonly names: JobNames;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: JobVolumes;
  readonly belongings: JobBelongings;
  readonly host: HostPlace;
  readonly isProtected: boolean;
  readonly image: PresentImage;
  /** As whom the commands run; empty is root. */
  readonly user: string;
  readonly hasServices: boolean;
}

async function openTransport(
  context: ExecutorContext,
  facts: TransportFacts,
): Promise<{ readonly place: DockerDirectories; readonly transport: Transport }> {
  const { engine, options, userId } = context;
  const { request, names, labels, volumes, belongings, host, isProtected, image, hasServices } = facts;
  const { directories, keepsWorkingCopy, signal } = request;
  const choice = await chooseTransport({
    wanted: options.workspace ?? "auto",
    engine,
    userId,
    hasServices,
    coversBuilds: volumes.coversBuilds,
    sharesFiles: () =>
      context.sharesFiles(() =>
        probeSharedFiles({ engine, image: image.reference, directory: options.hostDirectory, labels, signal }),
      ),
  });
  const root = await makeHostDirectory(
    options.hostDirectory,
    keepsWorkingCopy ? keptName(names, isProtected) : names.job,
  );
  const place = placeOnHost(root, directories, join(options.hostDirectory, CACHES, String(request.projectId)));
  host.removals.push(() => (keepsWorkingCopy ? keepOnlyRepository(place) : rm(root, { recursive: true, force: true })));
  if (choice.kind === "shared-directory") {
    const directory = await makeSharedDirectory(join(options.hostDirectory, SHARED), names.job);
    const isRoot = facts.user === "" || /^(?:0|root)(?::|$)/.test(facts.user);
    const { builds } = directories;
    const transport = createSharedTransport({ directory, builds, reason: choice.reason, forOthers: !isRoot });
    host.removals.push(() => transport.end());
    return { place, transport };
  }
  let bind: string | undefined;
  if (!volumes.coversBuilds) {
    const name = `${names.job}-${volumeSuffix(directories.builds)}`;
    const kind = {
      [labelName("type")]: "cache",
      [labelName("destination")]: directories.builds,
      [labelName("protected")]: String(isProtected),
      [labelName("reusable")]: "false",
    };
    await createVolume(context, name, { ...labels, ...kind });
    belongings.volume(name);
    bind = `${name}:${directories.builds}`;
  }
  return { place, transport: createArchiveTransport({ engine, reason: choice.reason, bind }) };
}

/** Directories on this host: `builds/<name>` for each job or slot, `shared/<name>` where containers write. */
const BUILDS = "builds";
const SHARED = "shared";
const CACHES = "caches";

function keptName({ kept }: JobNames, isProtected: boolean): string {
  return isProtected ? `${kept}-protected` : kept;
}

async function makeHostDirectory(hostDirectory: string, name: string): Promise<string> {
  const path = join(hostDirectory, BUILDS, name);
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

function placeOnHost(root: string, scripts: DockerDirectories, cache: string): DockerDirectories {
  const below = (path: string): string => join(root, posix.relative(scripts.builds, path));
  return {
    builds: root,
    project: below(scripts.project),
    temporary: below(scripts.temporary),
    cache,
  };
}

/** Everything else may be of the scripts' making, and the next job's git must not meet it. */
async function keepOnlyRepository({ project, temporary }: DockerDirectories): Promise<void> {
  await rm(temporary, { recursive: true, force: true });
  const names = await readdir(project).catch(() => []);
  const others = names.filter((name) => name !== ".git");
  await Promise.all(others.map((name) => rm(join(project, name), { recursive: true, force: true })));
}

/** Directories that the commands of the job may have to write to, parents first. */
function openDirectories({ builds, project, temporary }: DockerDirectories, volumes: JobVolumes): string[] {
  const parents: string[] = [];
  for (let place = posix.dirname(project); place.startsWith(`${builds}/`); place = posix.dirname(place)) {
    parents.unshift(place);
  }
  const own = volumes.coversBuilds ? [] : [builds];
  return [...own, ...parents, project, temporary];
}

/** A fresh volume belongs to root alone, and nobody knows as whom the commands of the image run. */
async function openVolumes(
  engine: Engine,
  containerId: string,
  volumes: JobVolumes,
  signal: AbortSignal,
): Promise<void> {
  const directories = volumes.named.map(({ destination }) => destination);
  if (directories.length > 0) await putArchive(engine, containerId, { trees: [], directories, signal });
}

function entrypointOf(
  entrypoint: readonly string[] | undefined,
  isFixed: boolean,
  warn: (text: string) => void,
): { readonly Entrypoint?: string[] } {
  if (entrypoint === undefined || entrypoint.length === 0) return {};
  if (!isFixed) return { Entrypoint: [...entrypoint] };
  warn("Entrypoint override disabled");
  return {};
}

function wantsUntracked(payload: DockerPrepareRequest["payload"]): boolean {
  return [...payload.cache, ...(payload.artifacts ?? [])].some(({ untracked }) => untracked === true);
}
