import { expect, it } from "vitest";
import type { CacheStore, PutsConditionally } from "../store.ts";
import { bodyOf, counted } from "./bodies.ts";

type ConditionalStore = CacheStore & PutsConditionally;

/** A service, reached in two ways. */
export interface LossyService {
  /** Through something that loses what `lose` says. */
  readonly lossy: ConditionalStore;
  readonly direct: ConditionalStore;
  /** Bytes of an object that takes more than one request. */
  readonly longBytes: number;
  /**
   * Loses, once, the request that stores an object, before it is with the service, or the answer to it.
   *
   * @returns resolves when it is lost
   */
  lose(what: "answer" | "request", isLong: boolean): Promise<void>;
  /** Loses, once, the answer to a request that looks at an object. @returns resolves when it is lost */
  loseLook(): Promise<void>;
  close(): Promise<void>;
}

/** Tests that a store knows its own object again when it cannot know whether it has stored it. */
export function describeLostAnswers(open: () => Promise<LossyService>): void {
  const metadata = { k: "v" };
  for (const isLong of [false, true]) {
    const kind = isLong ? "an object of several parts" : "an object of one request";

    it(`knows ${kind} for its own when only the answer was lost`, async () => {
      const service = await open();
      try {
        const { lossy, direct } = service;
        const body = bodyOf(counted(isLong ? service.longBytes : 1000));
        const lost = service.lose("answer", isLong);
        const first = await lossy.putIf("dir/name", body, { absent: true }, { metadata });
        await lost;
        const { bytes } = body;
        expect(await direct.head("dir/name")).toMatchObject({ bytes, version: first?.version });
        expect(first?.metadata).toEqual(metadata);
        const lostAgain = service.lose("answer", isLong);
        const condition = { version: first?.version ?? "" };
        const second = await lossy.putIf("dir/name", bodyOf(new Uint8Array(bytes)), condition, { metadata });
        await lostAgain;
        const found = await direct.head("dir/name");
        expect(second).toEqual(found);
        expect(found?.metadata).toEqual(metadata);
        expect(await lossy.putIf("dir/name", body, { absent: true })).toBeUndefined();
        expect(await lossy.putIf("dir/name", body, condition)).toBeUndefined();
      } finally {
        await service.close();
      }
    });

    it(`knows ${kind} for its own when the answer to its look at it was lost as well`, async () => {
      const service = await open();
      try {
        const { lossy, direct } = service;
        const lost = service.lose("answer", isLong);
        const storing = lossy.putIf("dir/name", bodyOf(counted(isLong ? service.longBytes : 1000)), { absent: true });
        storing.catch(() => {});
        await lost;
        await service.loseLook();
        const facts = await storing;
        expect(await direct.head("dir/name")).toEqual(facts);
        expect(facts).toBeDefined();
      } finally {
        await service.close();
      }
    });

    it(`does not take ${kind} of somebody else for its own that has the same content`, async () => {
      const service = await open();
      try {
        const { lossy, direct } = service;
        const body = bodyOf(counted(isLong ? service.longBytes : 1000));
        const there = await direct.putIf("dir/name", body, { absent: true }, { metadata });
        const lost = service.lose("request", isLong);
        expect(await lossy.putIf("dir/name", body, { absent: true }, { metadata })).toBeUndefined();
        await lost;
        expect(await direct.head("dir/name")).toMatchObject({ version: there?.version });
      } finally {
        await service.close();
      }
    });
  }
}
