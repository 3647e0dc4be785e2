import { createHash } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import type { Digest } from "../reference/grammar.ts";
import type { OpenedBlob } from "../storage/disk.ts";
import type { OpenedFile } from "../storage/opened-file.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { StoredChecks } from "./stored-checks.ts";

const content = Buffer.from("a blob of which somebody wants a part");
const digest: Digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

describe("StoredChecks", () => {
  let gate: PromiseWithResolvers<void>;
  let opened: number;
  let closed: number;
  let discarded: Digest[];
  let isVerified: boolean;
  let stored: Buffer;

  beforeEach(() => {
    gate = Promise.withResolvers();
    opened = 0;
    closed = 0;
    discarded = [];
    isVerified = false;
    stored = content;
  });

  const clock = createManualClock();
  const signal = new AbortController().signal;
  const late = (): Error => new Error("it takes too long");

  function checks(): StoredChecks {
    return new StoredChecks(
      {
        openBlob: async (): Promise<OpenedBlob> => {
          opened += 1;
          const handle: Pick<OpenedFile, "close" | "read"> = {
            read: async (buffer, offset, length, position) => {
              await gate.promise;
              return { bytesRead: stored.copy(buffer, offset, position, position + length) };
            },
            close: async () => {
              closed += 1;
            },
          };
          return {
            bytes: stored.byteLength,
            handle: handle as OpenedFile,
            isVerified,
            markVerified: () => {
              isVerified = true;
            },
          };
        },
        discardDamaged: async (damaged) => void discarded.push(damaged),
      },
      clock,
    );
  }

  it("reads a blob once for all who want a part of it", async () => {
    const shared = checks();
    const answers = Promise.all([1, 2, 3].map(() => shared.isRight(digest, late, signal)));
    gate.resolve();
    expect(await answers).toEqual([true, true, true]);
    expect([opened, closed, isVerified]).toEqual([1, 1, true]);
  });

  it("removes what is damaged", async () => {
    stored = Buffer.from(content.toString().replace("part", "pert"));
    gate.resolve();
    expect(await checks().isRight(digest, late, signal)).toBe(false);
    expect([discarded, closed]).toEqual([[digest], 1]);
  });

  it("lets nobody wait without end, and goes on for those who come later", async () => {
    const shared = checks();
    const first = expect(shared.isRight(digest, late, signal)).rejects.toThrow("it takes too long");
    const left = expect(shared.isRight(digest, late, AbortSignal.abort(new Error("left")))).rejects.toThrow("left");
    await clock.advance(20_000);
    await Promise.all([first, left]);
    const next = shared.isRight(digest, late, signal);
    gate.resolve();
    expect(await next).toBe(true);
    expect([opened, closed]).toEqual([1, 1]);
  });
});
