import { join } from "node:path";

import { createVolume } from "../container/create-volume.ts";
import type { VolumeUse } from "../container/create-volume.ts";
import type { VolumeMount } from "../container/mounts.ts";
import type { JobNames } from "../container/names.ts";
import { placeVolume } from "../container/volumes.ts";
import type { JobVolumes } from "../container/volumes.ts";
import type { PresentImage } from "../image/pull.ts";
import type { ExecutorContext } from "../executor-context.ts";
import type { DockerPrepareRequest } from "../types.ts";
import { createArchiveTransport } from "./archive-transport.ts";
import { chooseTransport, probeSharedFiles } from "./choose-transport.ts";
import type { Choice } from "./choose-transport.ts";
import { makeHostPlace } from "./host-place.ts";
import { createSharedTransport, makeSharedDirectory } from "./shared-transport.ts";
import type { Transport } from "./transport.ts";

export interface TransportFacts extends VolumeUse {
  readonly request: DockerPrepareRequest;
  readonly names: JobNames;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: JobVolumes;
  readonly isProtected: boolean;
  readonly image: PresentImage;
  /** The configured one, expanded. */
  readonly helperImage: string | undefined;
  /** As whom the commands run; empty is root. */
  readonly user: string;
  readonly hasServices: boolean;
  /** Whether files are asked for that no commit has. */
  readonly wantsUntracked: boolean;
}

/** The way of a job's files, and where its own half of them lies on this host. */
export interface OpenedTransport {
  readonly kind: Choice["kind"];
  readonly place: DockerPrepareRequest["directories"];
  /** Whether the repository stays on this host. */
  readonly keepsRepository: boolean;
  readonly transport: Transport;
}

/** Chooses the way and makes what it needs. */
export async function openTransport(context: ExecutorContext, facts: TransportFacts): Promise<OpenedTransport> {
  const { engine, options } = context;
  const { request, names, volumes, isProtected, image, wantsUntracked } = facts;
  const { directories, keepsWorkingCopy, signal } = request;
  const { kind, reason } = await chooseTransport({
    wanted: options.workspace ?? "auto",
    engine,
    userId: context.userId,
    hasServices: facts.hasServices,
    coversBuilds: volumes.coversBuilds,
    helperImage: facts.helperImage,
    wantsUntracked,
    sharesFiles: () =>
      context.sharesFiles(
        (probing) =>
          probeSharedFiles({
            engine,
            image: image.reference,
            directory: options.hostDirectory,
            labels: facts.labels,
            signal: probing,
          }),
        signal,
      ),
  });
  const keeps = keepsWorkingCopy && kind !== "helper-image";
  const host = await makeHostPlace({
    hostDirectory: options.hostDirectory,
    names,
    projectId: request.projectId,
    directories,
    isProtected,
    keepsRepository: keeps,
  });
  facts.belongings.onHost(host.remove);
  const opened = { kind, place: host.directories, keepsRepository: keeps || wantsUntracked };
  if (kind === "shared-directory") {
    const directory = await makeSharedDirectory(join(options.hostDirectory, SHARED), names.job);
    const isRoot = facts.user === "" || /^(?:0|root)(?::|$)/.test(facts.user);
    const transport = createSharedTransport({
      directory,
      builds: directories.builds,
      reason,
      forOthers: !isRoot,
    });
    facts.belongings.onHost(() => transport.end());
    return { ...opened, transport };
  }
  const mount = volumes.coversBuilds ? undefined : await makeBuildsVolume(context, facts, kind === "helper-image");
  const description =
    kind === "helper-image"
      ? `Sources are fetched in a container of ${facts.helperImage}, other files of the job travel through the engine's archive API: ${reason}`
      : `Files of the job travel through the engine's archive API: ${reason}`;
  return { ...opened, transport: createArchiveTransport({ engine, description, mount }) };
}

/** Directory on this host that the containers of a job have mounted. */
const SHARED = "shared";

/** A working copy that a helper made is kept for the next job like any other volume. */
async function makeBuildsVolume(
  context: ExecutorContext,
  facts: TransportFacts,
  isHelper: boolean,
): Promise<VolumeMount> {
  const { request, names, labels, isProtected } = facts;
  const { builds } = request.directories;
  const settings = context.options.settings ?? {};
  const isKept = isHelper && request.keepsWorkingCopy && settings.disableCache !== true;
  const { source, named } = placeVolume(builds, isKept, { settings, names, isProtected });
  if (named !== undefined) await createVolume(context, { ...named, isProtected, labels }, facts);
  return { source, destination: builds };
}
