import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { Digest } from "../reference/grammar.ts";
import { parseLength, totalOfContentRange } from "../reference/range.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Slots } from "../slots.ts";
import type { BlobSource, OpenedSource, OwnWait, TakeChunk } from "../storage/fill/source.ts";
import type { SharedStore } from "../storage/shared-store.ts";
import type { Asker } from "../upstream/asker.ts";
import type { UpstreamClient } from "../upstream/client.ts";

export interface BlobSourceOptions {
  readonly clock: Clock;
  readonly shared: SharedStore;
  readonly clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly slotsOf: (image: UpstreamImage) => Slots;
  readonly onUpstreamBytes: (image: UpstreamImage, bytes: number) => void;
}

/** A blob that is to be fetched, and in whose name. */
export interface WantedBlob {
  readonly image: UpstreamImage;
  readonly digest: Digest;
  readonly asker: Asker;
  /** Length according to a manifest. */
  readonly expectedBytes: number | undefined;
  /** Rejects unless the upstream says that the blob is under this name. */
  readonly confirm: (signal: AbortSignal) => Promise<void>;
}

/** A source that may be the shared store. */
export interface CachedBlobSource extends BlobSource {
  /** Removes what the shared store has given when it was wrong. */
  discardDamaged(): void;
}

/** Gives a blob from the shared store, where it lies or another mirror is bringing it, or else from its upstream. */
export function createBlobSource(wanted: WantedBlob, options: BlobSourceOptions): CachedBlobSource {
  const { confirm, digest, expectedBytes, image } = wanted;
  const { clock, shared, slotsOf } = options;
  let usedShared = false;
  let sharedVersion: string | undefined;
  let usedOther = false;

  async function fromShared(offset: number, signal: AbortSignal): Promise<OpenedSource | undefined> {
    // What broke off there once is fetched from elsewhere.
    if (usedShared) return undefined;
    const stored = await openShared(offset, signal);
    if (stored !== undefined || !(await shared.lease(digest, signal))) return stored;
    return openShared(offset, signal);
  }

  async function openShared(offset: number, signal: AbortSignal): Promise<OpenedSource | undefined> {
    // A small one is checked before anybody gets a part of it.
    const bytes = offset === 0 ? await shared.read(digest, maxCheckedBytes, signal) : undefined;
    if (bytes !== undefined) return openedBytes(bytes);
    const stored = await shared.open(digest, offset, signal);
    sharedVersion = stored?.version;
    if (stored === undefined || expectedBytes === undefined || stored.totalBytes === expectedBytes) return stored;
    stored.discard();
    shared.discardDamaged(digest, stored.version);
    return undefined;
  }

  async function confirmed(stored: OpenedSource, signal: AbortSignal): Promise<OpenedSource> {
    usedShared = true;
    try {
      await confirm(signal);
      return stored;
    } catch (error) {
      stored.discard();
      throw error;
    }
  }

  /** What lies in the shared store is no burden to an upstream that has no slot left. */
  async function withoutSlot(
    refusal: unknown,
    offset: number,
    signal: AbortSignal,
    ownWait: OwnWait,
  ): Promise<OpenedSource> {
    const stored = usedShared ? undefined : await ownWait(openShared(offset, signal));
    if (stored === undefined) throw refusal;
    if (offset > 0) usedOther = true;
    return confirmed(stored, signal);
  }

  return {
    get id() {
      return usedShared && !usedOther ? "the shared store" : image.upstream.id;
    },
    get origin() {
      return usedShared && !usedOther ? "shared-store" : "upstream";
    },
    discardDamaged() {
      if (sharedVersion !== undefined) shared.discardDamaged(digest, sharedVersion);
    },
    async open(offset, signal, ownWait) {
      // Before a lease is taken: others would wait for a blob that only waits itself.
      let giveBack: () => void;
      try {
        giveBack = await ownWait(takeSlot(image, slotsOf(image), clock, signal));
      } catch (error) {
        signal.throwIfAborted();
        return await withoutSlot(error, offset, signal, ownWait);
      }
      try {
        const stored = await ownWait(fromShared(offset, signal));
        // A part that an earlier try has left is of unknown origin.
        if (stored === undefined || (offset > 0 && !usedShared)) usedOther = true;
        if (stored === undefined)
          return withSlot(await fromUpstream(wanted, offset, { ...options, ownWait, signal }), giveBack);
        return withSlot(await confirmed(stored, signal), giveBack);
      } catch (error) {
        giveBack();
        throw error;
      }
    },
  };
}

/** Gives a slot back with what it was taken for. */
function withSlot(opened: OpenedSource, giveBack: () => void): OpenedSource {
  return {
    ...opened,
    discard: () => {
      opened.discard();
      giveBack();
    },
  };
}

/** The largest blob that is kept in memory until it was checked. */
const maxCheckedBytes = 8 * 1024 * 1024;

interface UpstreamOpening extends BlobSourceOptions {
  readonly ownWait: OwnWait;
  readonly signal: AbortSignal;
}

async function fromUpstream(
  { asker, digest, image }: WantedBlob,
  offset: number,
  { clientOf, onUpstreamBytes, ownWait, signal }: UpstreamOpening,
): Promise<OpenedSource> {
  const range = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const answer = await clientOf(image).send({
    method: "GET",
    resource: `blobs/${digest}`,
    name: image.name,
    kind: "blob",
    asker,
    headers: range,
    ownWait,
    signal,
  });
  const isPart = answer.status === 206;
  const total = isPart
    ? totalOfContentRange(answer.headers["content-range"], offset)
    : parseLength(answer.headers["content-length"]);
  if (isPart && total === undefined) {
    answer.discard();
    throw new UpstreamError({
      code: "failing",
      upstream: image.upstream.id,
      reason: "it sends another part than asked for",
    });
  }
  const read = (take: TakeChunk): Promise<void> =>
    answer.readBody((chunk) => {
      onUpstreamBytes(image, chunk.byteLength);
      return take(chunk);
    });
  return { offset: isPart ? offset : 0, totalBytes: total, read, discard: () => answer.discard() };
}

/**
 * Waits for a place among those that fetch from an upstream. A client is not to wait for blobs that others want, so one whose turn does not
 * come is fetched beside them.
 *
 * @throws {UpstreamError} there are too many of these, too
 */
async function takeSlot(image: UpstreamImage, slots: Slots, clock: Clock, signal: AbortSignal): Promise<() => void> {
  const reason = "too many other blobs are being fetched from it";
  const late = new UpstreamError({ code: "timeout", upstream: image.upstream.id, reason });
  try {
    return await withDeadline(
      clock,
      slotMs,
      () => late,
      (within) => slots.take(within),
      signal,
    );
  } catch (error) {
    const beyond = error === late ? slots.takeBeyond() : undefined;
    if (beyond === undefined) throw error;
    return beyond;
  }
}

const slotMs = 5000;

function openedBytes(bytes: Uint8Array): OpenedSource {
  return { offset: 0, totalBytes: bytes.byteLength, read: async (take) => take(bytes), discard: () => {} };
}
