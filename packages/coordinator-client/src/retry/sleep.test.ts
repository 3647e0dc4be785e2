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

  it("waits for 40 days, which is longer than one timer can", async () => {
    let over = false;
    const { signal } = new AbortController();
    const sleeping = sleep(40 * DAY, signal).then(() => {
      over = true;
    });

    await vi.advanceTimersByTimeAsync(40 * DAY - 1);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await sleeping;

    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("does not wake up a fraction of a millisecond early", async () => {
    let over = false;
    void sleep(10.2).then(() => {
      over = true;
    });

    await vi.advanceTimersByTimeAsync(10);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(over).toBe(true);
  });

  it.each([60_000, 40 * DAY])("rejects at once when aborted in a wait of %i ms, leaving nothing behind", async (ms) => {
    const controller = new AbortController();
    const sleeping = sleep(ms, controller.signal);

    controller.abort("stopped");

    await expect(sleeping).rejects.toBe("stopped");
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("rejects when the signal is aborted already", async () => {
    await expect(sleep(10, AbortSignal.abort("before"))).rejects.toBe("before");
    expect(vi.getTimerCount()).toBe(0);
  });
});
