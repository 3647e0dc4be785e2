import { describe, expect, it } from "vitest";
import { turnBudget } from "./turn-budget.ts";

describe("turnBudget", () => {
  it("lets all wait together for the next turn, and then go on", async () => {
    const turns: (() => void)[] = [];
    const spend = turnBudget(100, (callback) => turns.push(callback));
    expect([spend(60), spend(39)]).toEqual([undefined, undefined]);
    const waiting = spend(1);
    expect(waiting).toBeInstanceOf(Promise);
    expect(spend(1)).toBe(waiting);
    expect(turns).toHaveLength(1);
    turns[0]?.();
    await waiting;
    expect(spend(99)).toBeUndefined();
    expect(spend(1)).not.toBe(waiting);
  });
});
