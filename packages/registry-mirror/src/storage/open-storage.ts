import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import { Metrics } from "../metrics.ts";
import { defaultLimits } from "../options.ts";
import type { MirrorOptions } from "../options.ts";
import type { Registries, Upstream } from "../routing/registries.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { Disk } from "./disk.ts";
import type { Era } from "./era.ts";
import type { ImagePlace } from "./layout.ts";
import { Records } from "./records.ts";
import { createSharedStore, noSharedStore } from "./shared-store.ts";
import type { SharedStore } from "./shared-store.ts";

/** Where a mirror keeps things. */
export interface Storage {
  readonly disk: Disk;
  readonly records: Records;
  readonly shared: SharedStore;
  readonly metrics: Metrics;
}

/**
 * Opens the directory and the shared store.
 *
 * @throws {DirectoryInUseError}
 */
export async function openStorage(
  options: MirrorOptions & { readonly clock: Clock; readonly logger: Logger },
  registries: Registries,
): Promise<Storage> {
  const { clock, directory, logger, store } = options;
  const metrics = new Metrics();
  const now = (): number => clock.now();
  const late: { records?: Records; shared: SharedStore } = { shared: noSharedStore };
  const upstreams = [...registries.upstreams.values()];
  const pins = upstreams.flatMap((upstream) => pinnedImages(upstream));
  const disk = await Disk.open({
    directory,
    maxBytes: options.maxBytes,
    reserveBytes: options.reserveBytes ?? 256 * 1024 * 1024,
    clock,
    metrics,
    logger,
    parentsOf: (digest) => late.records?.parentsOf(digest) ?? [],
    pinned: () => new Set(pins.flatMap(({ image, tag }) => [...(late.records?.reachableFrom(image, [tag]) ?? [])])),
  });
  const onChange = (name: string, text: string | undefined): void => late.shared.save(name, text);
  const onWithdrawal = (place: ImagePlace, era: Era, isNew: boolean): Promise<void> =>
    late.shared.saveWithdrawal(place, era, isNew);
  const onOpening = (place: ImagePlace, era: Era): void => late.shared.saveOpening(place, era);
  const hooks = { onChange, onOpening, onWithdrawal };
  const records = await Records.open({ directory, disk, logger, now, upstreams, ...hooks }).catch(
    async (error: unknown) => {
      await disk.close();
      throw error;
    },
  );
  late.records = records;
  if (store !== undefined) {
    late.shared = createSharedStore({
      store,
      redirect: options.redirect,
      disk,
      records: () => records,
      logger,
      metrics,
      clock,
      answerMs: options.limits?.storeMs ?? defaultLimits.storeMs,
    });
  }
  return { disk, records, shared: late.shared, metrics };
}

function pinnedImages(upstream: Upstream): readonly { readonly image: UpstreamImage; readonly tag: string }[] {
  return (upstream.options.pins ?? []).map((pin) => {
    const colon = pin.lastIndexOf(":");
    return { image: { upstream, name: pin.slice(0, colon) }, tag: pin.slice(colon + 1) };
  });
}
