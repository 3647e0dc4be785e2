import { getEventListeners } from "node:events";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { sleep } from "./sleep.ts";

const DAY = 86_400_000;

describe("sleep", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([1, 40 * DAY])("waits for %i ms, also where one timer cannot", async (ms) => {
    let over = false;
    const { signal } = new AbortController();
    const sleeping = sleep(ms, signal).then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await sleeping;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it.each([1000, 40 * DAY])("rejects at once when aborted in a wait of %i ms, leaving nothing behind", async (ms) => {
    const stopping = new AbortController();
    const sleeping = sleep(ms, stopping.signal);
    stopping.abort("stopped");
    await expect(sleeping).rejects.toBe("stopped");
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(stopping.signal, "abort")).toEqual([]);
  });

  it("rejects when the signal is aborted already", async () => {
    await expect(sleep(10, AbortSignal.abort("before"))).rejects.toBe("before");
    expect(vi.getTimerCount()).toBe(0);
  });
});
