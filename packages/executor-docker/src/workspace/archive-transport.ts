import { readdir, rm } from "node:fs/promises";
import { posix } from "node:path";

import type { VolumeMount } from "../container/mounts.ts";
import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { ensureRealDirectory } from "./safe-path.ts";
import { packTrees } from "./tar-entries.ts";
import type { TarOptions } from "./tar-entries.ts";
import type { ReceiveOrder, Transport } from "./transport.ts";
import { unpack } from "./unpack.ts";

export interface ArchiveTransportOptions {
  readonly engine: Engine;
  /** For the job's log. */
  readonly description: string;
  /** Volume at the builds directory; undefined when the configuration has one there. */
  readonly mount: VolumeMount | undefined;
}

/**
 * Files travel over the connection to the engine that is there anyway; they go through the volumes of the job's container,
 * whether it runs or not.
 *
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/PutContainerArchive
 */
export function createArchiveTransport({ engine, description, mount }: ArchiveTransportOptions): Transport {
  let containerId = "";
  const path = (place: string): string => `/containers/${containerId}/archive?path=${encodeURIComponent(place)}`;
  const put = (archive: TarOptions): Promise<void> => putArchive(engine, containerId, archive);
  return {
    description,
    mount,
    begin: async ({ id, directories, signal }) => {
      containerId = id;
      await put({ trees: [], directories, signal });
    },
    moveTo: (id) => {
      containerId = id;
    },
    send: async (trees, keep, signal) => {
      await put({ trees, directories: [], signal });
      // From here on the scripts' files are the ones that count.
      for (const { source } of trees) await removeSent(source, keep);
    },
    receive: async (order) => {
      const { from, root, relative, isWanted, signal } = order;
      await removeOld(order);
      const own = posix.basename(from);
      const place = (name: string): string | undefined => {
        if (name === own) return relative;
        const inner = name.slice(own.length + 1);
        return isWanted(inner) ? posix.join(relative, inner) : undefined;
      };
      try {
        const answer = await engine.open({
          what: "give files of a container",
          method: "GET",
          path: path(from),
          signal,
        });
        await unpack(answer, { root, place, signal });
      } catch (error) {
        // Scripts need not have made it.
        if (!isMissing(error)) throw error;
      }
    },
    end: async () => undefined,
  };
}

/** Sends an archive to the root of a container, through its volumes. */
export async function putArchive(engine: Engine, containerId: string, archive: TarOptions): Promise<void> {
  const answer = await engine.open({
    what: "take files for a container",
    method: "PUT",
    path: `/containers/${containerId}/archive?path=${encodeURIComponent("/")}`,
    body: packTrees(archive),
    signal: archive.signal,
  });
  answer.resume();
}

/** Whether there is something at a path of a container, its volumes included. */
export async function hasPath(
  engine: Engine,
  containerId: string,
  place: string,
  signal: AbortSignal,
): Promise<boolean> {
  const path = `/containers/${containerId}/archive?path=${encodeURIComponent(place)}`;
  try {
    const answer = await engine.open({ what: "look for a file", method: "HEAD", path, signal });
    answer.resume();
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function removeSent(source: string, keep: readonly string[]): Promise<void> {
  const sent = (await readdir(source)).filter((name) => !keep.includes(name));
  await Promise.all(sent.map((name) => rm(posix.join(source, name), { recursive: true, force: true })));
}

async function removeOld({ root, relative, isWanted }: ReceiveOrder): Promise<void> {
  if (relative !== ".") {
    const parent = await ensureRealDirectory(root, posix.dirname(relative));
    await rm(posix.join(parent, posix.basename(relative)), { recursive: true, force: true });
    return;
  }
  for (const name of await readdir(await ensureRealDirectory(root, "."))) {
    if (isWanted(name)) await rm(posix.join(root, name), { recursive: true, force: true });
  }
}
