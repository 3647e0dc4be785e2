import { describe, expect, it } from "vitest";

import type { EntryMetadata } from "../archived-entry.ts";
import { inTurns } from "../turn.ts";
import { RestorePlanner } from "./restore-plan.ts";
import { RestoreRows } from "./restore-rows.ts";

const LIMITS = { maxBytes: 1e9, maxRatio: 1000 };

describe("the plan of a restore", () => {
  it.each([
    ["the first one", "a"],
    ["a folder", "b"],
    ["a file in the middle", "b/1"],
    ["a link", "b/3"],
    ["the last one in order", "d"],
    ["the first one out of order", "aa"],
    ["one after that, which is in order again", "e"],
  ])("refuses an entry in the place of %s, also when others are out of order", (_what, name) => {
    const planner = new Plan();
    for (const entry of ["a", "b/", "b/1", "b/2", "b/3@", "c/", "c/1", "d", "aa", "ab/", "e"]) planner.add(entry);
    expect(() => planner.add(name)).toThrow(expect.objectContaining({ code: "duplicate-name", entryName: name }));
    expect(() => planner.add(`${name}+`)).not.toThrow();
  });

  it.each([
    ["b", "malformed"],
    ["b@", "outside-root"],
  ])("refuses entries below %s", async (name, code) => {
    const planner = new Plan();
    for (const entry of ["a", name, "b/1"]) planner.add(entry);
    await expect(inTurns(planner.finish(), undefined)).rejects.toMatchObject({ code, entryName: "b" });
  });

  it("is finished in steps, of which each has a few thousand folders at most", () => {
    const planner = new Plan();
    for (let nth = 0; nth < 40_000; nth += 1) planner.add(`${nth}/`);
    expect([...planner.finish()].length).toBeGreaterThanOrEqual(10);
  });
});

/** Of entries that come one after the other. */
class Plan {
  readonly rows = new RestoreRows();
  readonly #planner = new RestorePlanner(this.rows, LIMITS, 1000);

  /** @param name - `name/` is a folder, `name@` is a link */
  add(name: string): boolean {
    const kind = name.endsWith("/") ? "directory" : name.endsWith("@") ? "symlink" : "file";
    const metadata: EntryMetadata = { kind, mode: 0o755, mtimeMs: 0, bytes: 0, owner: undefined };
    return this.#planner.add(this.rows.addEntry(Buffer.from(name.replace("@", "")), metadata));
  }

  finish(): ReturnType<RestorePlanner["finish"]> {
    return this.#planner.finish();
  }
}
