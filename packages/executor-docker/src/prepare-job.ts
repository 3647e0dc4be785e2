import { hostname } from "node:os";
import { posix } from "node:path";

import { expandReferences } from "@fleetfoot/cache-key";

import { JobBelongings } from "./container/cleanup.ts";
import { createVolume } from "./container/create-volume.ts";
import { containerOpener, entrypointOf, helperParts } from "./container/job-containers.ts";
import { jobLabels, jobNames } from "./container/names.ts";
import { createNetwork } from "./container/network.ts";
import { isProtectedJob, planVolumes } from "./container/volumes.ts";
import type { ExecutorContext } from "./executor-context.ts";
import { createDockerEnvironment } from "./environment.ts";
import { DockerConfigurationError } from "./errors.ts";
import { JobUsage } from "./garbage/usage.ts";
import { checkAllowed, chooseUser } from "./image/allowed.ts";
import { readLogins } from "./image/credentials.ts";
import { effectivePolicies } from "./image/pull-policy.ts";
import { createPuller } from "./image/puller.ts";
import { dockerOptions, planServices } from "./service/plan-services.ts";
import { startServices } from "./service/start-services.ts";
import type { DockerDirectories, DockerEnvironment, DockerPrepareRequest } from "./types.ts";
import { openTransport } from "./workspace/open-transport.ts";
import { readyFiles } from "./workspace/ready-files.ts";
import { createWorkspace } from "./workspace/workspace.ts";

/** Everything up to the first script: images, volumes, network, services, the container. @see job-execution 2.2 */
export async function prepareJob(context: ExecutorContext, request: DockerPrepareRequest): Promise<DockerEnvironment> {
  const { engine, options } = context;
  const settings = options.settings ?? {};
  const belongings = new JobBelongings(engine, settings.volumeKeep === true);
  const usage = new JobUsage(context.usage);
  belongings.onHost(async () => usage.end());
  try {
    return await prepare(context, request, belongings, usage);
  } catch (error) {
    // What fails here is what is told; the sweep takes care of what is left.
    await belongings.remove(AbortSignal.timeout(REMOVAL_LIMIT_MS)).catch(() => undefined);
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
    ...jobLabels({ job: payload, runner, hostDirectory: options.hostDirectory, jobUrl: lookup("CI_JOB_URL") ?? "" }),
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
  const onUse = (name: string): Promise<void> => usage.volume(name);
  for (const volume of volumes.named) {
    await createVolume(context, { ...volume, isProtected, labels }, { belongings, onUse });
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
    onUse,
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
  const mounts = [...volumes.mounts, ...(transport.mount === undefined ? [] : [transport.mount])];
  const extraHosts = await startServices({
    engine,
    services,
    obtain: (service) => pulling(service.image, effectivePolicies(service.pullPolicy, settings), service.platform),
    settings,
    request,
    names,
    labels,
    mounts,
    network,
    belongings,
    sleep: options.sleep,
    now: options.now,
  });

  const hostName = settings.hostname ?? names.host;
  const open = containerOpener({ context, request, labels, hostName, mounts, extraHosts, network, belongings });
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
  });
  await readyFiles({ engine, request, volumes, transport, containerId: () => containerId, run, runHelper });
  return environment;
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

function wantsUntracked(payload: DockerPrepareRequest["payload"]): boolean {
  return [...payload.cache, ...(payload.artifacts ?? [])].some(({ untracked }) => untracked === true);
}
