import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { resolveSettings } from "./settings.ts";

const DAY = 86_400_000;

describe("the sleep that settings have by default", () => {
  it("waits for 40 days, which is longer than one timer can, as a delayed job may", async () => {
    const { sleep } = resolveSettings({});
    const stopping = new AbortController();
    let over = false;
    const sleeping = sleep(40 * DAY, stopping.signal).then(() => {
      over = true;
    });
    // A timer that cannot hold its delay fires after 1 ms, so before this one.
    await delay(5);
    expect(over).toBe(false);
    stopping.abort("stopped");
    await expect(sleeping).rejects.toBe("stopped");
  });
});
