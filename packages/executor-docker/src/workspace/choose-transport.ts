import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { createContainer, removeContainer } from "../container/job-container.ts";
import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { DockerConfigurationError, DockerExecutorError, HostFilesError } from "../errors.ts";
import type { WorkspaceChoice } from "../types.ts";

export interface ChooseFacts {
  readonly wanted: WorkspaceChoice;
  readonly engine: Engine;
  /** Numeric id of this process's user; undefined where there are none. */
  readonly userId: number | undefined;
  readonly hasServices: boolean;
  /** Whether the configuration has a volume at the builds directory. */
  readonly coversBuilds: boolean;
  /** Image in which sources can be fetched beside the scripts' files. */
  readonly helperImage: string | undefined;
  /** Whether files are asked for that no commit has; only the repository tells which these are. */
  readonly wantsUntracked: boolean;
  /** Whether this host and the engine see the same files. @throws {DockerExecutorError} */
  readonly sharesFiles: () => Promise<boolean>;
}

export interface Choice {
  readonly kind: Exclude<WorkspaceChoice, "auto">;
  readonly reason: string;
}

/**
 * Decides how the files of a job travel.
 *
 * @throws {DockerConfigurationError} the wanted way does not work with this engine
 */
export async function chooseTransport(facts: ChooseFacts): Promise<Choice> {
  const archive = (reason: string): Choice => ({ kind: "archive", reason });
  const { wanted, engine, userId, hasServices, coversBuilds, helperImage, wantsUntracked, sharesFiles } = facts;
  if (wanted === "archive") return archive("it is configured so");
  if (wanted === "shared-directory") {
    if (coversBuilds) throw impossible("the configuration has a volume at the builds directory");
    if (!(await sharesFiles())) throw impossible("containers do not see the files of this host as it does");
    return { kind: "shared-directory", reason: "it is configured so" };
  }
  if (wanted === "helper-image" && helperImage === undefined) {
    throw new DockerConfigurationError("helper_image is not set; name an image with a shell and git, or use auto");
  }
  if (helperImage !== undefined) {
    if (wantsUntracked) return archive("the job wants untracked files, which are told apart on this host");
    const reason = wanted === "auto" ? "helper_image is configured" : "it is configured so";
    return { kind: "helper-image", reason };
  }
  if (!("socketPath" in engine.address.place)) return archive("the engine is reached over the network");
  if (coversBuilds) return archive("the configuration has a volume at the builds directory");
  if (userId !== 0) return archive("this process is not root, and files of containers often are");
  if (hasServices) return archive("services run while the runner works on the files");
  if (!(await sharesFiles())) return archive("containers do not see the files of this host as it does");
  return { kind: "shared-directory", reason: "the engine sees the files of this host" };
}

function impossible(why: string): DockerConfigurationError {
  return new DockerConfigurationError(`a shared directory cannot be used: ${why}; use auto or archive`);
}

export interface ProbeOptions {
  readonly engine: Engine;
  readonly image: string;
  readonly directory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Looks for a file of this host through the engine, in a container that is never started.
 *
 * @throws {DockerExecutorError} nobody knows
 */
export async function probeSharedFiles({ engine, image, directory, labels, signal }: ProbeOptions): Promise<boolean> {
  const name = `fleetfoot-probe-${randomBytes(8).toString("hex")}`;
  const place = join(directory, name);
  let id: string | undefined;
  try {
    if (await hasOtherUsers(engine, signal)) return false;
    await mkdir(place, { recursive: true, mode: 0o700 });
    await writeFile(join(place, name), "");
    const mount = { Type: "bind", Source: place, Target: "/fleetfoot-probe", ReadOnly: true } as const;
    id = await createContainer({
      engine,
      name,
      platform: undefined,
      labels,
      type: "cache-init",
      configuration: { Image: image, Cmd: ["true"], HostConfig: { Mounts: [mount], NetworkMode: "none" } },
    });
    const path = `/containers/${id}/archive?path=${encodeURIComponent(`/fleetfoot-probe/${name}`)}`;
    const answer = await engine.open({ what: "look for a file", method: "HEAD", path, signal });
    answer.resume();
    return true;
  } catch (error) {
    signal.throwIfAborted();
    // The engine says that there is no such directory, or no such file. Anything else may be otherwise with the next job.
    if (error instanceof DockerConfigurationError || isMissing(error)) return false;
    if (DockerExecutorError.isInstance(error)) throw error;
    throw new HostFilesError("find out whether the engine sees the files of this host", error);
  } finally {
    if (id !== undefined) await removeContainer(engine, id, { withVolumes: true }).catch(() => undefined);
    await rm(place, { recursive: true, force: true });
  }
}

/** Whether root of a container is somebody else on the engine's host, who may not enter private directories. */
async function hasOtherUsers(engine: Engine, signal: AbortSignal): Promise<boolean> {
  const { SecurityOptions: options } = (await engine.call("tell its settings", (docker) => docker.info(), {
    signal,
  })) as { readonly SecurityOptions?: readonly string[] | null };
  return (options ?? []).some((option) => /^name=(?:rootless|userns)\b/.test(option));
}
