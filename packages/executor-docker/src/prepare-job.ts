import { hostname } from "node:os";
import { posix } from "node:path";

import { expandReferences } from "@fleetfoot/cache-key";
import type Dockerode from "dockerode";

import { JobBelongings, removeNetwork } from "./container/cleanup.ts";
import { hostConfig } from "./container/host-config.ts";
import { createVolume } from "./container/create-volume.ts";
import { createContainer } from "./container/job-container.ts";
import { jobLabels, jobNames } from "./container/names.ts";
import type { JobNames } from "./container/names.ts";
import { shellCommand } from "./container/shell-command.ts";
import { isProtectedJob, planVolumes } from "./container/volumes.ts";
import type { JobVolumes } from "./container/volumes.ts";
import type { Engine } from "./engine/engine.ts";
import { TextSink } from "./engine/text-sink.ts";
import type { ExecutorContext } from "./executor-context.ts";
import { createDockerEnvironment } from "./environment.ts";
import { DockerConfigurationError } from "./errors.ts";
import { JobUsage } from "./garbage/usage.ts";
import { checkAllowed, chooseUser } from "./image/allowed.ts";
import { readLogins } from "./image/credentials.ts";
import type { RegistryLogins } from "./image/credentials.ts";
import { effectivePolicies } from "./image/pull-policy.ts";
import { obtainImage } from "./image/pull.ts";
import type { PresentImage } from "./image/pull.ts";
import { dockerOptions, planServices } from "./service/plan-services.ts";
import { startServices } from "./service/start-services.ts";
import type { DockerDirectories, DockerEnvironment, DockerPrepareRequest } from "./types.ts";
import { createScriptRunner } from "./stage/script-runner.ts";
import { hasPath, putArchive } from "./workspace/archive-transport.ts";
import { openTransport } from "./workspace/open-transport.ts";
import { createWorkspace } from "./workspace/workspace.ts";

/** Everything up to the first script: images, volumes, network, services, the container. @see job-execution 2.2 */
export async function prepareJob(context: ExecutorContext, request: DockerPrepareRequest): Promise<DockerEnvironment> {
  const { engine, options } = context;
  const settings = options.settings ?? {};
  const belongings = new JobBelongings(engine, settings.volumeKeep === true);
  const usage = new JobUsage(context.usage);
  const removals: (() => Promise<void>)[] = [async () => usage.end()];
  try {
    return await prepare(context, request, belongings, usage, removals);
  } catch (error) {
    // What fails here is what is told; the sweep takes care of what is left.
    await Promise.allSettled([
      belongings.remove(AbortSignal.timeout(REMOVAL_LIMIT_MS)),
      ...removals.map((remove) => remove()),
    ]);
    request.signal.throwIfAborted();
    throw error;
  }
}

const REMOVAL_LIMIT_MS = 60_000;

async function prepare(
  context: ExecutorContext,
  request: DockerPrepareRequest,
  belongings: JobBelongings,
  usage: JobUsage,
  removals: (() => Promise<void>)[],
): Promise<DockerEnvironment> {
  const { engine, options } = context;
  const { runner } = options;
  const settings = options.settings ?? {};
  const { payload, directories, signal } = request;
  const lookup = (name: string): string | undefined => request.variables.get(name);
  const image = chooseImage(request, settings.image, lookup);
  const fromJob = payload.image ?? { name: image };
  checkBuilds(directories);
  checkAllowed("image", image, settings, lookup, request.log);
  const wanted = dockerOptions(fromJob, lookup);
  const user = chooseUser(wanted.user, settings);
  const policies = effectivePolicies(fromJob.pull_policy, settings);
  const { services, warnings } = planServices(payload.services, settings, lookup);
  for (const service of services) checkAllowed("service", service.image, settings, lookup, request.log);
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
  const pulling = createPuller(context, request, usage, logins);
  const network = await createNetwork(context, request, names, labels, belongings);
  for (const volume of volumes.named) {
    await createVolume(context, { ...volume, isProtected, labels }, { belongings, usage });
  }
  // A mistake in the image's name shows at once, and not after the services.
  const present = await pulling(image, policies, wanted.platform);
  const helperImage = expandReferences(settings.helperImage ?? "", lookup) || undefined;
  const { kind, place, keepsRepository, transport } = await openTransport(context, {
    request,
    names,
    labels,
    volumes,
    belongings,
    usage,
    onRemoval: (remove) => removals.push(remove),
    isProtected,
    image: present,
    helperImage,
    user: user ?? present.user,
    hasServices: services.length > 0,
    wantsUntracked: wantsUntracked(payload),
  });
  request.log(transport.description);
  const helper =
    kind === "helper-image" && helperImage !== undefined
      ? await pulling(helperImage, effectivePolicies(undefined, settings), undefined)
      : undefined;
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
  const create = async (own: ContainerParts): Promise<string> => {
    const id = await createContainer({
      engine,
      name: own.name,
      platform: own.platform,
      type: own.type,
      labels,
      configuration: {
        Hostname: hostName,
        Cmd: shellCommand(),
        Env: [...request.variables].map(([name, value]) => `${name}=${value}`),
        Tty: false,
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        OpenStdin: true,
        StdinOnce: true,
        ...(settings.macAddress === undefined ? {} : { MacAddress: settings.macAddress }),
        HostConfig: await hostConfig({ settings, kind: "build", image: own.image, binds, extraHosts, network }),
        ...(network === undefined
          ? {}
          : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...own.aliases] } } } }),
        ...own.configuration,
      },
    });
    belongings.container(id);
    return id;
  };
  const ownProcesses = settings.pidMode === undefined || settings.pidMode === "";
  /** Makes a container, and what runs scripts in it. */
  const open = async (own: ContainerParts, onNew: (id: string) => void): Promise<DockerEnvironment["run"]> => {
    const make = async (): Promise<string> => {
      const id = await create(own);
      onNew(id);
      return id;
    };
    const containerId = await make();
    return createScriptRunner({
      context,
      request,
      belongings,
      containerId,
      containerName: own.name,
      recreate: make,
      ownProcesses,
    });
  };
  const build = {
    name: `${names.job}-build`,
    type: "build",
    image,
    platform: wanted.platform,
    aliases: ["build"],
    configuration: {
      Image: present.reference,
      ...entrypointOf(fromJob.entrypoint, settings.disableEntrypointOverwrite === true, request.warn),
      ...(user === undefined ? {} : { User: user }),
    },
  } as const;
  let containerId = "";
  const run = await open(build, (id) => {
    containerId = id;
    transport.moveTo(id);
  });
  const runHelper = helper === undefined ? undefined : await open(helperParts(names, helper), () => undefined);
  const environment = createDockerEnvironment({
    belongings,
    run,
    description: `${hostName} via ${runner.hostName ?? hostname()}`,
    networkName: network,
    workspace: createWorkspace({
      transport,
      scripts: directories,
      host: place,
      environmentFile: request.variables.get("GITLAB_ENV"),
      keepsRepository,
      helper: runHelper,
    }),
    removeFromHost: async () => {
      await Promise.all(removals.map((remove) => remove()));
    },
  });
  if (runHelper !== undefined) {
    // Sources are the helper's own business; what is left of a killed job's secrets is not.
    if (await hasPath(engine, containerId, directories.temporary, signal)) {
      await removeOldFiles(runHelper, request, [directories.temporary]);
    }
  } else if (volumes.coversBuilds) {
    await removeOldFiles(run, request, [directories.project, directories.temporary]);
  }
  await transport.begin({ id: containerId, directories: openDirectories(directories, volumes), signal });
  await openVolumes(engine, containerId, volumes, signal);
  return environment;
}

/** What tells a container of a job from its others. */
interface ContainerParts {
  readonly name: string;
  readonly type: "build" | "predefined";
  /** As it was asked for. */
  readonly image: string;
  readonly platform: string | undefined;
  readonly aliases: readonly string[];
  readonly configuration: Dockerode.ContainerCreateOptions;
}

/** Any image with a shell and git will do: its own entrypoint and user do not count. */
function helperParts(names: JobNames, image: PresentImage): ContainerParts {
  return {
    name: `${names.job}-predefined`,
    type: "predefined",
    image: image.name,
    platform: undefined,
    aliases: [],
    configuration: { Image: image.reference, Entrypoint: [""], User: "0" },
  };
}

/** A volume that is kept has files of the job before, and only a script can remove them. */
async function removeOldFiles(
  run: DockerEnvironment["run"],
  request: DockerPrepareRequest,
  paths: readonly string[],
): Promise<void> {
  const quoted = paths.map((path) => `'${path.replaceAll("'", "'\\''")}'`).join(" ");
  const output = new TextSink();
  const exit = await run({
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
  usage: JobUsage,
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
    const reference = options.imageReference?.(image, request) ?? image;
    const pulling = obtainImage(image, {
      engine,
      policies,
      platform,
      logins,
      reference,
      onUse: (id, wasPulled) => usage.image(id, wasPulled ? reference : undefined),
      advice: options.pullAdvice,
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
  { variables, signal }: DockerPrepareRequest,
  names: JobNames,
  labels: Readonly<Record<string, string>>,
  belongings: JobBelongings,
): Promise<string | undefined> {
  const { networkMode, networkMtu, enableIpv6 } = options.settings ?? {};
  const isWanted = ["1", "t", "T", "true", "TRUE", "True"].includes(variables.get("FF_NETWORK_PER_BUILD") ?? "");
  if (!isWanted || (networkMode !== undefined && networkMode !== "")) return undefined;
  // One that an earlier try has left.
  await removeNetwork(engine, names.network, { withVolumes: true, signal });
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
  const { toOpen: directories } = volumes;
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
