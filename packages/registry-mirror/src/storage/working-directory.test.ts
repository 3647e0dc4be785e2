import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import type { Logger } from "../logger.ts";
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
