import { getEventListeners } from "node:events";

import { describe, expect, it } from "vitest";

import { sleep } from "./sleep.ts";

const DAY = 86_400_000;

describe("sleep", () => {
  it("ends by itself, leaving nothing behind", async () => {
    const { signal } = new AbortController();
    await sleep(1, signal);
    await sleep(0);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it.each([1000, 40 * DAY])("rejects at once when aborted in a wait of %i ms, leaving nothing behind", async (ms) => {
    const stopping = new AbortController();
    let over = false;
    const sleeping = sleep(ms, stopping.signal).finally(() => (over = true));
    sleeping.catch(() => undefined);
    // A timer that is too long for the platform would end in the next turn.
    await sleep(5);
    expect(over).toBe(false);
    stopping.abort("stopped");
    await expect(sleeping).rejects.toBe("stopped");
    expect(getEventListeners(stopping.signal, "abort")).toEqual([]);
  });

  it("rejects when the signal is aborted already", async () => {
    await expect(sleep(10, AbortSignal.abort("before"))).rejects.toBe("before");
    await expect(sleep(0, AbortSignal.abort("before"))).rejects.toBe("before");
  });
});
