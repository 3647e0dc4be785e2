import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeEach, describe, expect, it } from "vitest";
import { createManualClock } from "../testing/manual-clock.ts";
import type { ManualClock } from "../testing/manual-clock.ts";
import { DiskCalls } from "./disk-calls.ts";

describe("DiskCalls", () => {
  let clock: ManualClock;
  let calls: DiskCalls;
  /** Names of what was asked of the disk, in order. */
  let made: string[];
  beforeEach(() => {
    clock = createManualClock();
    calls = new DiskCalls(clock);
    made = [];
  });

  /** A call that the disk answers when it is told to. */
  function callNamed(name: string): { readonly action: () => Promise<string>; readonly answer: () => Promise<void> } {
    const answered = Promise.withResolvers<string>();
    return {
      action() {
        made.push(name);
        return answered.promise;
      },
      async answer() {
        answered.resolve(name);
        await turn();
      },
    };
  }

  const names = (count: number): readonly string[] => Array.from({ length: count }, (_none, index) => `${index + 1}`);

  it("makes three calls at once, and the others in their order", async () => {
    const all = names(5).map(callNamed);
    const results = all.map(({ action }) => calls.run(action));
    expect(made).toEqual(["1", "2", "3"]);
    await all[1]?.answer();
    expect(made).toEqual(["1", "2", "3", "4"]);
    for (const { answer } of all) await answer();
    expect(await Promise.all(results)).toEqual(made);
  });

  it("goes on after a call that fails", async () => {
    const fails = async (): Promise<never> => {
      throw new Error("no such file");
    };
    for (const _name of names(4)) await expect(calls.run(fails)).rejects.toThrow("no such file");
    await calls.afterwards(fails);
    expect(await calls.run(async () => "well")).toBe("well");
  });

  it("brings one file to the disk at a time, while others are read", async () => {
    const syncs = names(3).map(callNamed);
    for (const { action } of syncs) void calls.run(action, { isSync: true });
    const read = callNamed("read");
    void calls.run(read.action);
    expect(made).toEqual(["1", "read"]);
    await syncs[0]?.answer();
    expect(made).toEqual(["1", "read", "2"]);
    await syncs[1]?.answer();
    expect(made).toEqual(["1", "read", "2", "3"]);
  });

  it("gives up a call that is not answered, with all that wait, and makes none before it was answered", async () => {
    const late = callNamed("late");
    const onTime = callNamed("on time");
    const lateResults: string[] = [];
    const lateRun = calls.run(late.action, { onLate: (result) => void lateResults.push(result) });
    lateRun.catch(() => {});
    await clock.advance(5000);
    expect(calls.isSilent).toBe(false);
    const onTimeRun = calls.run(onTime.action);
    const waiting = names(4).map((name) => calls.run(callNamed(name).action));
    const sync = calls.run(callNamed("sync").action, { isSync: true });
    for (const run of [...waiting, sync]) run.catch(() => {});
    expect(made).toEqual(["late", "on time", "1"]);
    await clock.advance(1000);
    expect(calls.isSilent).toBe(true);
    for (const run of [lateRun, ...waiting.slice(1), sync]) await expect(run).rejects.toThrow("does not answer");
    await expect(calls.run(callNamed("new").action)).rejects.toThrow("does not answer");
    await onTime.answer();
    expect(await onTimeRun).toBe("on time");
    await late.answer();
    expect([lateResults, calls.isSilent]).toEqual([["late"], false]);
    expect(made).toEqual(["late", "on time", "1"]);
    expect(await calls.run(async () => "again", { isSync: true })).toBe("again");
  });

  it("makes what nobody waits for when the disk answers again", async () => {
    const late = names(3).map(callNamed);
    for (const { action } of late) calls.run(action).catch(() => {});
    const close = callNamed("close");
    const closed = calls.afterwards(close.action);
    await clock.advance(6000);
    await closed;
    await calls.afterwards(callNamed("remove").action);
    expect(made).toEqual(["1", "2", "3"]);
    await late[2]?.answer();
    expect(made).toEqual(["1", "2", "3", "close"]);
    await close.answer();
    expect(made).toEqual(["1", "2", "3", "close", "remove"]);
  });

  it("is patient with what is brought to the disk", async () => {
    const sync = callNamed("sync");
    const run = calls.run(sync.action, { isSync: true });
    await clock.advance(119_000);
    await sync.answer();
    expect(await run).toBe("sync");
  });

  // Of what seems to be of use for so long, Node makes the room for new things larger and larger.
  it("leaves nothing that only a search of all memory finds, however many wait", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as (options: { readonly type: "major" | "minor" }) => void;
    let count = 0;
    async function readAgainAndAgain(times: number): Promise<void> {
      for (let time = 0; time < times; time += 1) {
        const piece = Array.from({ length: 200 }, () => time);
        const action = async (): Promise<readonly number[]> => {
          await turn();
          count += 1;
          if (count % 1000 === 0) collect({ type: "minor" });
          return piece;
        };
        await calls.run(action);
        await calls.afterwards(action);
      }
    }
    /** @returns bytes that are old */
    async function readAll(times: number): Promise<number> {
      await Promise.all(Array.from({ length: 50 }, () => readAgainAndAgain(times)));
      return getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")?.space_used_size ?? 0;
    }
    await readAll(20);
    collect({ type: "major" });
    const before = await readAll(20);
    expect((await readAll(200)) - before).toBeLessThan(2_000_000);
  });
});

/** Until what is settled now has come to those who wait for it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
