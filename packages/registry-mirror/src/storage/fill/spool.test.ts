import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Metrics } from "../../metrics.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { Disk } from "../disk.ts";
import { BlockPool } from "./block-pool.ts";
import { RecentBytes } from "./recent-bytes.ts";
import { Spool } from "./spool.ts";

it("keeps no room for what it will not write, while others still read what it has written", async () => {
  const directory = await mkdtemp(join(tmpdir(), "spool-"));
  const disk = await Disk.open({
    directory,
    maxBytes: 10_000_000,
    reserveBytes: 0,
    clock: createManualClock(),
    metrics: new Metrics(),
    parentsOf: () => [],
    pinned: () => new Set(),
  });
  const recent = new RecentBytes(new BlockPool());
  const spool = new Spool({ disk, recent, onChange: () => {}, onStopped: () => {} });
  spool.open(9_000_000);
  await spool.flush();
  const other = disk.reserve();
  expect(await other.extendTo(5_000_000)).toBe(false);
  spool.stop(new Error("its bytes are wrong"));
  await spool.flush();
  expect(await other.extendTo(5_000_000)).toBe(true);
  other.release();
  await spool.close();
  await disk.close();
  await rm(directory, { recursive: true });
});
