import { expect, it } from "vitest";
import { createAzureStore } from "./index.ts";
import { loadAzureStore } from "./load.ts";

it("loads the same store that an import has, and lets others have their turn between the parts", async () => {
  let turns = 0;
  const loaded = await loadAzureStore(async () => {
    turns += 1;
  });
  expect([loaded === createAzureStore, turns]).toEqual([true, 4]);
});
