import { expect, it } from "vitest";
import { ExpiringMap } from "./expiring-map.ts";

it("remembers nothing longer than it is meant to when the clock is set back", () => {
  let nowMs = 1_000_000;
  const map = new ExpiringMap<string>(10, () => nowMs);
  map.set("name", "value", 1000);
  expect(map.get("name")).toBe("value");
  nowMs -= 500_000;
  expect(map.get("name")).toBeUndefined();
  map.set("name", "value", 1000);
  nowMs += 999;
  expect(map.get("name")).toBe("value");
  nowMs += 1;
  expect(map.get("name")).toBeUndefined();
});
