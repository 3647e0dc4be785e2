import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startMirror } from "../testing/process.ts";

/** Makes many objects when it is told to, of which each lives for a while, and tells how large the room for new ones is. */
const maker = `
import { getHeapSpaceStatistics } from "node:v8";
const roomBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size;
process.on("SIGUSR2", () => {
  const before = roomBytes();
  const kept = [];
  for (let made = 0; made < 8_000_000; made += 1) kept[made % 200_000] = { made };
  console.log(JSON.stringify({ before, after: roomBytes() }));
});
`;

it("takes no more memory for new objects while it serves, however many it makes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mirror-app-"));
  try {
    const module = join(folder, "maker.mjs");
    await writeFile(module, maker);
    const words = ["--data", join(folder, "data"), "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    await using mirror = await startMirror(words, { NODE_OPTIONS: `--import=${module}` });
    mirror.kill("SIGUSR2");
    await expect.poll(() => mirror.output()).toMatch(/"after":/);
    const [told = ""] = /\{"before".*\}/.exec(mirror.output()) ?? [];
    const { after, before } = JSON.parse(told) as { readonly after: number; readonly before: number };
    expect(after).toBeLessThanOrEqual(before);
  } finally {
    await rm(folder, { recursive: true });
  }
});
