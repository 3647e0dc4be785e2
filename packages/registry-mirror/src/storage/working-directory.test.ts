import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { noopLogger } from "../logger.ts";
import type { Logger } from "../logger.ts";
import { HangingCalls } from "../testing/hanging-calls.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { DiskCalls } from "./disk-calls.ts";
import type { DiskCallOptions } from "./disk-calls.ts";
import { WorkingDirectory } from "./working-directory.ts";

it("calls a directory removed only when it was", async () => {
  const directory = await mkdtemp(join(tmpdir(), "mirror-"));
  const log: string[] = [];
  const note = (message: string): void => void log.push(message);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const calls = new ReadOnlyCalls();
  const working = await WorkingDirectory.open({ directory, calls, clock: systemClock, logger });
  calls.isReadOnly = true;
  for (let time = 0; time < 3; time += 1) {
    await expect(working.createTemporary()).rejects.toThrow("EROFS");
    await working.probe();
    expect(working.problem).toContain("EROFS");
  }
  calls.isReadOnly = false;
  await working.probe();
  expect(working.problem).toBeUndefined();
  expect(log).toEqual(["nothing can be stored; blobs are passed on", "blobs are stored again"]);
  await rm(join(directory, "tmp"), { recursive: true });
  await working.probe();
  expect(log.at(-1)).toContain("was removed while it ran");
  expect(await readdir(join(directory, "tmp"))).toEqual([]);
  await working.close();
  await rm(directory, { recursive: true });
});

describe("a directory that was removed, on a disk that hangs while it is made anew", () => {
  const filesOpenIn = async (directory: string): Promise<readonly string[]> => {
    const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
    return (await Promise.all(links)).filter((link) => link.startsWith(directory));
  };

  const cases = ["before", "after"].flatMap((moment) =>
    ["stores again when the disk answers", "is closed meanwhile"].map((outcome) => ({ moment, outcome })),
  );
  it.each(cases)("is waited for no longer than the disk may take, $moment any call, and $outcome", async (its) => {
    let isHung = true;
    for (let number = 1; isHung; number += 1) {
      const directory = await mkdtemp(join(tmpdir(), "mirror-"));
      const clock = createManualClock();
      const calls = new HangingCalls(clock);
      const options = { directory, clock: systemClock, logger: noopLogger };
      const working = await WorkingDirectory.open({ ...options, calls });
      await rm(directory, { recursive: true });
      const hung = calls.hangAt(number, its.moment === "before");
      const created = working.createTemporary();
      created.catch(() => {});
      isHung = await Promise.race([hung.then(() => true), created.then(() => false)]);
      const closed = isHung && its.outcome === "is closed meanwhile" ? working.close() : undefined;
      // As long as the disk may take for anything.
      if (isHung) await clock.advance(10_000);
      if (isHung) await expect(created, `call ${number}`).rejects.toThrow(/the disk does not answer|is given back/);
      else await (await created).close();
      await closed;
      calls.answer();
      while (calls.isSilent) await new Promise((resolve) => setImmediate(resolve));
      if (closed === undefined) await (await working.createTemporary()).close();
      await working.close();
      await expect.poll(() => filesOpenIn(directory), { message: `call ${number}` }).toEqual([]);
      await expect
        .poll(async () => (await readdir(directory).catch(() => [])).filter((name) => name !== "tmp"))
        .toEqual([]);
      const next = await WorkingDirectory.open({ ...options, calls: new DiskCalls() });
      await next.close();
      await rm(directory, { recursive: true });
      expect(isHung || number > 10).toBe(true);
    }
  });
});

/** Of a file system that became read-only, as after an error of its disk: what is there is found all the same. */
class ReadOnlyCalls extends DiskCalls {
  isReadOnly = false;

  override async run<Result>(call: () => Promise<Result>, options: DiskCallOptions<Result> = {}): Promise<Result> {
    // Files alone are closed when they come too late.
    const opensFile = options.onLate !== undefined;
    if (!this.isReadOnly || !opensFile) return super.run(call, options);
    throw Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
  }
}
