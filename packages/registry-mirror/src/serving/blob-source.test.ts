import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { noSharedStore } from "../storage/shared-store.ts";
import { createBlobSource } from "./blob-source.ts";

it("does not take a wait for the shared store for the upstream's silence", async () => {
  const agreed = Promise.withResolvers<boolean>();
  const waits: Promise<unknown>[] = [];
  const image = { upstream: { id: "hub" }, name: "library/app" } as UpstreamImage;
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
      slotsOf: () => {
        throw new Error("the upstream is asked");
      },
      onUpstreamBytes: () => {},
    },
  );
  const opening = source.open(0, new AbortController().signal, (wait) => {
    waits.push(wait);
    return wait;
  });
  const asked = expect(opening).rejects.toThrow("the upstream is asked");
  expect(waits).toHaveLength(1);
  agreed.resolve(false);
  await asked;
  expect(await waits[0]).toBeUndefined();
});
