import { beforeEach, describe, expect, it } from "vitest";
import { UpstreamError } from "../../errors.ts";
import { Secret } from "../../secret.ts";
import { readRegistries } from "../../routing/registries.ts";
import type { UpstreamImage } from "../../routing/select.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { ManualClock } from "../../testing/manual-clock.ts";
import { collectingLogger } from "../../testing/serve.ts";
import { Withdrawals } from "./withdrawals.ts";
import type { WithdrawalsOptions } from "./withdrawals.ts";

let clock: ManualClock;
let image: UpstreamImage;

beforeEach(() => {
  clock = createManualClock();
  const credentials = { username: "robot", password: new Secret("hunter2-secret") };
  const { upstreams } = readRegistries({ upstreams: { hub: { url: "https://registry.example", credentials } } });
  const upstream = upstreams.get("hub");
  if (upstream === undefined) throw new Error("there is no upstream");
  image = { upstream, name: "org/app" };
});

function create(options: Partial<WithdrawalsOptions>): Withdrawals {
  return new Withdrawals({
    records: {
      eraOf: () => undefined,
      remembered: () => undefined,
      withdraw: () => false,
      withdrawUnseen: () => {},
    },
    shared: undefined,
    clock,
    logger: collectingLogger([]),
    onRefused: () => {},
    ...options,
  });
}

describe("what other mirrors know of withdrawals", () => {
  it("is asked once a minute, and after a moment when the store could not be asked", async () => {
    let asked = 0;
    let isWell = true;
    const adoptWithdrawal = async (): Promise<boolean> => {
      asked += 1;
      return isWell;
    };
    const withdrawals = create({ shared: { adoptWithdrawal, isOpenToOthers: async () => false } });
    const asksAfter = async (milliseconds: number): Promise<number> => {
      await clock.advance(milliseconds);
      asked = 0;
      for (let round = 0; round < 3; round += 1) await withdrawals.learn([image]);
      return asked;
    };
    expect([await asksAfter(0), await asksAfter(59_999), await asksAfter(1)]).toEqual([1, 0, 1]);
    isWell = false;
    expect([await asksAfter(60_000), await asksAfter(4999), await asksAfter(1), await asksAfter(5000)]).toEqual([
      1, 0, 1, 1,
    ]);
  });

  it("is not waited for again while the store is silent, and is asked again soon when it turns out that it failed", async () => {
    let asked = 0;
    const answer = Promise.withResolvers<boolean>();
    const adoptWithdrawal = (): Promise<boolean> => {
      asked += 1;
      return answer.promise;
    };
    const withdrawals = create({ shared: { adoptWithdrawal, isOpenToOthers: async () => false } });
    const learnt = withdrawals.learn([image]);
    await clock.waitsFor(2000);
    await clock.advance(2000);
    await learnt;
    expect(withdrawals.learn([image])).toBeUndefined();
    answer.resolve(false);
    await new Promise(setImmediate);
    expect(withdrawals.learn([image])).toBeUndefined();
    await clock.advance(5000);
    await withdrawals.learn([image]);
    expect(asked).toBe(2);
  });
});

describe("a refusal of a name of which nothing is open here", () => {
  const denied = new UpstreamError({ code: "denied", upstream: "hub", reason: "it says no" });

  it("asks the store once a minute what others have, after a moment when it fails, and withdraws what they have", async () => {
    let asked = 0;
    let answer: () => Promise<boolean | undefined> = async () => false;
    const withdrawn: unknown[] = [];
    const withdrawals = create({
      records: {
        eraOf: () => "era",
        remembered: () => undefined,
        withdraw: () => false,
        withdrawUnseen: (_place, era) => void withdrawn.push(era),
      },
      shared: {
        adoptWithdrawal: async () => true,
        isOpenToOthers: (_place, era) => {
          asked += 1;
          expect(era).toBe("era");
          return answer();
        },
      },
    });
    const asksAfter = async (milliseconds: number): Promise<number> => {
      await clock.advance(milliseconds);
      asked = 0;
      for (let round = 0; round < 20; round += 1) {
        withdrawals.noteFailure(image, denied);
        await withdrawals.written([image]);
      }
      return asked;
    };
    expect([await asksAfter(0), await asksAfter(59_999), await asksAfter(1)]).toEqual([1, 0, 1]);
    answer = async () => undefined;
    expect([await asksAfter(60_000), await asksAfter(4999)]).toEqual([1, 0]);
    answer = () => Promise.reject(new Error("the log is full"));
    await clock.advance(1);
    withdrawals.noteFailure(image, denied);
    await expect(withdrawals.written([image])).rejects.toThrow("the log is full");
    expect(withdrawn).toEqual([]);
    answer = async () => true;
    expect(await asksAfter(5000)).toBe(1);
    expect(withdrawn).toEqual(["era"]);
  });
});
