import { expect, it } from "vitest";
import { createGcsStore } from "./index.ts";
import { loadGcsStore } from "./load.ts";

it("loads the same store that an import has, and lets others have their turn between the parts", async () => {
  let turns = 0;
  const loaded = await loadGcsStore(async () => {
    turns += 1;
  });
  expect([loaded === createGcsStore, turns]).toEqual([true, 2]);
});
