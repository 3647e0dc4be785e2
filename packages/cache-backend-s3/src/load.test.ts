import { expect, it } from "vitest";
import { createS3Store } from "./index.ts";
import { loadS3Store } from "./load.ts";

it("loads the same store that an import has, and lets others have their turn between the parts", async () => {
  let turns = 0;
  const loaded = await loadS3Store(async () => {
    turns += 1;
  });
  expect([loaded === createS3Store, turns]).toEqual([true, 2]);
});
