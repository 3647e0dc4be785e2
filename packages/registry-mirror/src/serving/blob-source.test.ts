import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { Slots } from "../slots.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { noSharedStore } from "../storage/shared-store.ts";
import { createBlobSource } from "./blob-source.ts";

it("does not take a wait for the shared store for the upstream's silence", async () => {
  const agreed = Promise.withResolvers<boolean>();
  const waits: Promise<unknown>[] = [];
  const image = { upstream: { id: "hub" }, name: "library/app" } as UpstreamImage;
  const slots = new Slots(1);
  const source = createBlobSource(
    {
      image,
      digest: `sha256:${"a".repeat(64)}`,
      asker: "anonymous",
      expectedBytes: undefined,
      confirm: async () => {},
    },
    {
      shared: { ...noSharedStore, lease: () => agreed.promise },
      clock: systemClock,
      clientOf: () => {
        throw new Error("the upstream is asked");
      },
      slotsOf: () => slots,
      onUpstreamBytes: () => {},
    },
  );
  const opening = source.open(0, new AbortController().signal, (wait) => {
    waits.push(wait);
    return wait;
  });
  const asked = expect(opening).rejects.toThrow("the upstream is asked");
  await waits[0];
  // The wait for a slot is over.
  await new Promise((resolve) => setImmediate(resolve));
  expect(waits).toHaveLength(2);
  agreed.resolve(false);
  await asked;
  expect(await waits[1]).toBeUndefined();
  // Whoever comes next gets the slot.
  (await slots.take())();
});

it("reads what lies in the shared store also while a silent upstream has no slot left", async () => {
  const clock = createManualClock();
  const slots = new Slots(1);
  const held = [await slots.take(), slots.takeBeyond()];
  let isStored = true;
  const image = { upstream: { id: "hub" }, name: "library/app" } as UpstreamImage;
  const options = {
    shared: {
      ...noSharedStore,
      read: async () => (isStored ? Buffer.from("stored") : undefined),
      lease: async () => {
        throw new Error("others would wait for it");
      },
    },
    clock,
    clientOf: () => {
      throw new Error("the upstream is asked");
    },
    slotsOf: () => slots,
    onUpstreamBytes: () => {},
  };
  const open = async () => {
    const wanted = {
      image,
      digest: `sha256:${"a".repeat(64)}`,
      asker: "anonymous",
      expectedBytes: undefined,
      confirm: async () => {},
    } as const;
    const source = createBlobSource(wanted, options);
    const opening = source.open(0, new AbortController().signal, (wait) => wait);
    opening.catch(() => {});
    await clock.waitsFor(5000);
    await clock.advance(5000);
    return { opened: await opening, source };
  };
  const { opened, source } = await open();
  expect([opened.totalBytes, source.origin]).toEqual([6, "shared-store"]);
  opened.discard();
  isStored = false;
  await expect(open()).rejects.toMatchObject({ code: "timeout", reason: expect.stringContaining("too many other") });
  for (const giveBack of held) giveBack?.();
  // None was lost.
  (await slots.take())();
});
