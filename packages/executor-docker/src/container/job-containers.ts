import type Dockerode from "dockerode";

import type { ExecutorContext } from "../executor-context.ts";
import type { PresentImage } from "../image/pull.ts";
import { createScriptRunner } from "../stage/script-runner.ts";
import type { DockerEnvironment, DockerPrepareRequest } from "../types.ts";
import type { JobBelongings } from "./cleanup.ts";
import { hostConfig } from "./host-config.ts";
import { createContainer } from "./job-container.ts";
import type { VolumeMount } from "./mounts.ts";
import type { JobNames } from "./names.ts";
import { shellCommand } from "./shell-command.ts";

/** What the containers of a job have in common. */
export interface JobContainersOptions {
  readonly context: ExecutorContext;
  readonly request: DockerPrepareRequest;
  readonly labels: Readonly<Record<string, string>>;
  readonly hostName: string;
  readonly mounts: readonly VolumeMount[];
  readonly extraHosts: readonly string[];
  /** Network of the job's own; undefined: the configured one. */
  readonly network: string | undefined;
  readonly belongings: JobBelongings;
}

/** What tells a container of a job from its others. */
export interface ContainerParts {
  readonly name: string;
  readonly type: "build" | "predefined";
  /** As it was asked for. */
  readonly image: string;
  readonly platform: string | undefined;
  readonly aliases: readonly string[];
  readonly configuration: Dockerode.ContainerCreateOptions;
}

/**
 * Makes containers, and what runs scripts in them.
 *
 * @returns what takes the parts of a container, and what learns its id, then and when another one takes its place
 */
export function containerOpener(
  options: JobContainersOptions,
): (own: ContainerParts, onNew: (id: string) => void) => Promise<DockerEnvironment["run"]> {
  const { context, request, belongings } = options;
  const { pidMode = "" } = context.options.settings ?? {};
  return async (own, onNew) => {
    const make = async (): Promise<string> => {
      const id = await create(own, options);
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
      image: own.image,
      recreate: make,
      ownProcesses: pidMode === "",
    });
  };
}

async function create(own: ContainerParts, options: JobContainersOptions): Promise<string> {
  const { context, request, labels, hostName, mounts, extraHosts, network, belongings } = options;
  const settings = context.options.settings ?? {};
  const id = await createContainer({
    engine: context.engine,
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
      HostConfig: await hostConfig({ settings, kind: "build", image: own.image, mounts, extraHosts, network }),
      ...(network === undefined
        ? {}
        : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...own.aliases] } } } }),
      ...own.configuration,
    },
  });
  belongings.container(id);
  return id;
}

/** Any image with a shell and git will do: its own entrypoint and user do not count. */
export function helperParts(names: JobNames, image: PresentImage): ContainerParts {
  return {
    name: `${names.job}-predefined`,
    type: "predefined",
    image: image.name,
    platform: undefined,
    aliases: [],
    configuration: { Image: image.reference, Entrypoint: [""], User: "0" },
  };
}

/** What a job says instead of its image's entrypoint, where the configuration lets it. */
export function entrypointOf(
  entrypoint: readonly string[] | undefined,
  isFixed: boolean,
  warn: (text: string) => void,
): { readonly Entrypoint?: string[] } {
  if (entrypoint === undefined || entrypoint.length === 0) return {};
  if (!isFixed) return { Entrypoint: [...entrypoint] };
  warn("Entrypoint override disabled");
  return {};
}
