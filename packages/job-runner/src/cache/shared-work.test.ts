import { describe, expect, it } from "vitest";

import { SharedWork } from "./shared-work.ts";

describe("shared work", () => {
  const never = new AbortController().signal;

  it("is done once for all who want it at the same time, and anew for who comes later", async () => {
    const work = new SharedWork<number>();
    let started = 0;
    const start = async (): Promise<number> => ++started;
    const both = await Promise.all([work.run("a", { signal: never, start }), work.run("a", { signal: never, start })]);
    expect(both).toEqual([
      { result: 1, joined: false },
      { result: 1, joined: true },
    ]);
    expect(await work.run("a", { signal: never, start })).toEqual({ result: 2, joined: false });
  });

  it("of other names is other work", async () => {
    const work = new SharedWork<string>();
    const run = (name: string) => work.run(name, { signal: never, start: async () => name });
    expect((await Promise.all([run("a"), run("b")])).map(({ result }) => result)).toEqual(["a", "b"]);
  });

  it("goes on when one of two leaves, and is stopped when the other leaves, too", async () => {
    const work = new SharedWork<never>();
    let stopped: AbortSignal | undefined;
    const start = (signal: AbortSignal): Promise<never> => {
      stopped = signal;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const runs = [work.run("a", { signal: first.signal, start }), work.run("a", { signal: second.signal, start })];
    const ends = runs.map((run) => run.catch((error: unknown) => error));
    first.abort(new Error("first"));
    expect(await ends[0]).toEqual(new Error("first"));
    expect(stopped?.aborted).toBe(false);
    second.abort(new Error("second"));
    expect(await ends[1]).toEqual(new Error("second"));
    expect(stopped?.aborted).toBe(true);
  });

  it("that was stopped is not joined", async () => {
    const work = new SharedWork<string>();
    const leaving = new AbortController();
    const { promise, resolve } = Promise.withResolvers<string>();
    const stopped = Promise.withResolvers<void>();
    const start = (signal: AbortSignal): Promise<string> => {
      signal.addEventListener("abort", () => stopped.resolve());
      return promise;
    };
    const stuck = work.run("a", { signal: leaving.signal, start }).catch((error: unknown) => error);
    leaving.abort(new Error("leaves"));
    await stopped.promise;
    expect(await work.run("a", { signal: never, start: async () => "new" })).toEqual({ result: "new", joined: false });
    resolve("old");
    expect(await stuck).toEqual(new Error("leaves"));
  });

  it("has ended when the last one leaves", async () => {
    const work = new SharedWork<never>();
    const steps: string[] = [];
    const leaving = new AbortController();
    const start = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          setImmediate(() => {
            steps.push("cleared away");
            reject(new Error("stopped"));
          });
        });
      });
    const run = work.run("a", { signal: leaving.signal, start }).catch((error: unknown) => steps.push(String(error)));
    leaving.abort(new Error("leaves"));
    await run;
    expect(steps).toEqual(["cleared away", "Error: leaves"]);
  });

  it("fails for everybody who waits", async () => {
    const work = new SharedWork<never>();
    const start = async (): Promise<never> => Promise.reject(new Error("broken"));
    const ends = await Promise.allSettled([
      work.run("a", { signal: never, start }),
      work.run("a", { signal: never, start }),
    ]);
    expect(ends.map((end) => end.status)).toEqual(["rejected", "rejected"]);
  });

  it("fails when it throws before there is a promise, and can be wanted again", async () => {
    const work = new SharedWork<number>();
    const start = (): never => {
      throw new Error("broken");
    };
    await expect(work.run("a", { signal: never, start })).rejects.toThrow("broken");
    expect(await work.run("a", { signal: never, start: async () => 1 })).toEqual({ result: 1, joined: false });
  });

  it("tells everybody how far it is, and who joins that, and at once", async () => {
    const work = new SharedWork<string, number>();
    const { promise, resolve } = Promise.withResolvers<string>();
    let report: (progress: number) => void = () => {};
    const told: string[] = [];
    const worker = (name: string, signal = never) => ({
      signal,
      start: (_stop: AbortSignal, reports: (progress: number) => void): Promise<string> => {
        report = reports;
        return promise;
      },
      onJoin: () => void told.push(`${name} joins`),
      onProgress: (progress: number) => void told.push(`${name} ${progress}`),
    });
    const leaving = new AbortController();
    const runs = [work.run("a", worker("first")), work.run("a", worker("second", leaving.signal))];
    const left = runs[1]?.catch((error: unknown) => error);
    report(1);
    runs.push(work.run("a", worker("third")));
    leaving.abort(new Error("leaves"));
    expect(await left).toEqual(new Error("leaves"));
    report(2);
    resolve("done");
    await Promise.allSettled(runs);
    expect(told).toEqual(["second joins", "first 1", "second 1", "third joins", "third 1", "first 2", "third 2"]);
  });
});
