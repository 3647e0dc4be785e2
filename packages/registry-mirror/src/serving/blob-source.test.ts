import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { Slots } from "../slots.ts";
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
