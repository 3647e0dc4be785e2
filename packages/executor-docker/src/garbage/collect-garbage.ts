import { labelName, ownLabels } from "../container/names.ts";
import { parseSize } from "../container/sizes.ts";
import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { EngineResponseError } from "../errors.ts";
import type { DockerRunner, DockerSettings, GarbageResult } from "../types.ts";
import { planGarbage } from "./plan-garbage.ts";
import type { GarbageItem, GarbageLimits } from "./plan-garbage.ts";
import type { Usage } from "./usage.ts";

export interface GarbageOptions {
  readonly engine: Engine;
  readonly runner: DockerRunner;
  readonly hostDirectory: string;
  readonly settings: DockerSettings;
  readonly usage: Usage;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

const DEFAULT_AGE_DAYS = 14;
const DAY_MS = 86_400_000;

/** Removes what no job has used for long, if the settings want so. */
export async function collectGarbage(options: GarbageOptions): Promise<GarbageResult> {
  const { settings } = options;
  if (settings.garbageCollection !== true) return { volumes: 0, images: 0, bytes: 0 };
  const limits = {
    maxAgeMs: (settings.garbageCollectionMaxAgeDays ?? DEFAULT_AGE_DAYS) * DAY_MS,
    maxBytes: parseSize("garbage_collection_max_size", settings.garbageCollectionMaxSize),
  };
  const volumes = await collectVolumes(options, limits);
  const images = await collectImages(options, limits);
  return { volumes: volumes.count, images: images.count, bytes: volumes.bytes + images.bytes };
}

/** On a large disk the engine reads for minutes. */
const SLOW_LIMIT_MS = 30 * 60_000;

interface Removed {
  readonly count: number;
  readonly bytes: number;
}

/** Kept volumes of this runner on this machine. */
async function collectVolumes(options: GarbageOptions, limits: GarbageLimits): Promise<Removed> {
  const { engine, runner, hostDirectory, usage, now, signal } = options;
  const filters = { label: [...ownLabels(runner, hostDirectory), `${labelName("reusable")}=true`] };
  const listed = await engine.call("list volumes", (docker) => docker.listVolumes({ filters }), { signal });
  const own = new Set((listed.Volumes ?? []).map(({ Name: name }) => name));
  // Only this call knows sizes, and whether a container has it.
  const { Volumes: all } = (await engine.call("tell the use of its disk", (docker) => docker.df(), {
    signal,
    limitMs: SLOW_LIMIT_MS,
  })) as DiskUse;
  const items: GarbageItem[] = [];
  for (const { Name: name, UsageData: facts } of all ?? []) {
    if (!own.has(name)) continue;
    // One of the time before there were records counts from now on.
    if ((await usage.volumes.find(name)) === undefined) await usage.volumes.begin(name);
    const { lastUsedMs = now() } = (await usage.volumes.find(name)) ?? {};
    const isFree = (facts?.RefCount ?? 1) === 0 && !usage.held.has(name);
    items.push({ name, bytes: Math.max(facts?.Size ?? 0, 0), lastUsedMs, isFree });
  }
  const removed = await removeAll(planGarbage(items, limits, now()), options, ({ name }) =>
    engine.call("remove a volume", (docker) => docker.getVolume(name).remove(), { signal, limitMs: SLOW_LIMIT_MS }),
  );
  await usage.volumes.keepOnly(own);
  return removed;
}

/** Images that this runner pulled, that no container is made of, and that have no name but those by which jobs asked for them. */
async function collectImages(options: GarbageOptions, limits: GarbageLimits): Promise<Removed> {
  const { engine, usage, now, signal } = options;
  const images = await engine.call("list images", (docker) => docker.listImages(), { signal });
  const containers = await engine.call("list containers", (docker) => docker.listContainers({ all: true }), { signal });
  const used = new Set(containers.map(({ ImageID: id }) => id));
  const items: (GarbageItem & { readonly tags: readonly string[] })[] = [];
  for (const { Id: id, Size: bytes, RepoTags: named } of images) {
    const record = await usage.images.find(id);
    if (record === undefined) continue;
    const tags = (named ?? []).filter((tag) => !tag.startsWith("<none>"));
    const isFree = !used.has(id) && !usage.held.has(id) && tags.every((tag) => record.notes.has(tag));
    items.push({ name: id, bytes, lastUsedMs: record.lastUsedMs, isFree, tags });
  }
  const removed = await removeAll(planGarbage(items, limits, now()), options, async ({ name, tags }) => {
    for (const reference of [...tags, name]) {
      try {
        await engine.call("remove an image", (docker) => docker.getImage(reference).remove(), {
          signal,
          limitMs: SLOW_LIMIT_MS,
        });
      } catch (error) {
        // It goes with its last name.
        if (!isMissing(error)) throw error;
      }
    }
  });
  await usage.images.keepOnly(new Set(images.map(({ Id: id }) => id)));
  return removed;
}

/** What is used after all is left alone: the engine has the last word. */
async function removeAll<Item extends GarbageItem>(
  items: readonly Item[],
  { signal, usage }: GarbageOptions,
  remove: (item: Item) => Promise<unknown>,
): Promise<Removed> {
  let [count, bytes] = [0, 0];
  for (const item of items) {
    signal.throwIfAborted();
    // A job may have come meanwhile.
    if (usage.held.has(item.name)) continue;
    try {
      await remove(item);
      count += 1;
      bytes += item.bytes;
    } catch (error) {
      const isUsed = error instanceof EngineResponseError && error.status === CONFLICT;
      if (!isUsed && !isMissing(error)) throw error;
    }
  }
  return { count, bytes };
}

const CONFLICT = 409;

/** @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemDataUsage */
interface DiskUse {
  readonly Volumes?:
    | readonly {
        readonly Name: string;
        readonly UsageData?: { readonly Size: number; readonly RefCount: number } | null;
      }[]
    | null;
}
