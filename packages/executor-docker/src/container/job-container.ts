import type Dockerode from "dockerode";

import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { DockerConfigurationError, EngineResponseError } from "../errors.ts";
import { labelName } from "./names.ts";

export interface CreateOptions {
  readonly engine: Engine;
  readonly name: string;
  readonly platform: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly type: "build" | "cache-init" | "predefined" | "service";
  readonly configuration: Dockerode.ContainerCreateOptions;
}

/** How containers go. */
export interface Removal {
  /** Whether their anonymous volumes go as well. */
  readonly withVolumes: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Creates a container; one of the same name, which an earlier try has left, is removed first.
 *
 * @returns its id
 * @throws {DockerConfigurationError} the engine does not take the settings
 */
export async function createContainer(options: CreateOptions): Promise<string> {
  const { engine, name, platform, labels, type, configuration } = options;
  const order: Dockerode.ContainerCreateOptions = {
    ...configuration,
    name,
    Labels: { ...configuration.Labels, ...labels, [labelName("type")]: type },
    ...(platform === undefined ? {} : { platform }),
  };
  const create = (): Promise<string> =>
    engine.call(`create the container ${name}`, async (docker) => (await docker.createContainer(order)).id);
  try {
    return await create().catch(async (error: unknown) => {
      if (!isConflict(error)) throw error;
      await removeContainer(engine, name, { withVolumes: true });
      return await create();
    });
  } catch (error) {
    if (!(error instanceof EngineResponseError)) throw error;
    // No further try makes a setting valid.
    if (error.status === 400) throw new DockerConfigurationError(error.message, { cause: error });
    if (error.status === 404 && platform !== undefined && error.message.includes("platform")) {
      throw new DockerConfigurationError(
        `${error.message}; leave out the platform ${platform}, or name an image that is made for it`,
        { cause: error },
      );
    }
    throw error;
  }
}

/** Removes a container however it is; one that is gone already is fine. */
export async function removeContainer(engine: Engine, id: string, { withVolumes, signal }: Removal): Promise<void> {
  try {
    await engine.call(
      "remove a container",
      (docker) => docker.getContainer(id).remove({ force: true, v: withVolumes }),
      { signal },
    );
  } catch (error) {
    if (isMissing(error)) return;
    if (!isConflict(error)) throw error;
    // Somebody else is removing it at this moment; its name is taken until that is done.
    await waitUntilRemoved(engine, id, signal);
  }
}

async function waitUntilRemoved(engine: Engine, id: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await engine.call(
      "wait for a container to go",
      (docker) => docker.getContainer(id).wait({ condition: "removed" }),
      { signal, limitMs: REMOVAL_LIMIT_MS },
    );
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

const REMOVAL_LIMIT_MS = 60_000;

function isConflict(error: unknown): boolean {
  return typeof error === "object" && error !== null && "status" in error && error.status === 409;
}
