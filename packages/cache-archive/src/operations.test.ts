import { Writable } from "node:stream";

import { expect, it } from "vitest";

import { writeArchive } from "./operations.ts";
import { failure } from "./test-support/failure.ts";
import { makeScratch } from "./test-support/scratch.ts";

it("a sink that fails while what packs is loaded is a failure of the archive, and none of the process", async () => {
  await using scratch = await makeScratch();
  const sink = new Writable({ write: (_piece, _encoding, done) => done() });
  const work = failure(writeArchive({ root: scratch.path, entries: [], sink }));
  sink.destroy(new Error("the store hung up"));
  const error = await work;
  expect(error.code).toBe("io");
  expect(error.message).toContain("the store hung up");
  expect(sink.listenerCount("error")).toBe(0);
});

it("a sink that was closed before anything was written into it is a failure of the archive", async () => {
  await using scratch = await makeScratch();
  const sink = new Writable({ write: (_piece, _encoding, done) => done() });
  sink.destroy();
  expect((await failure(writeArchive({ root: scratch.path, entries: [], sink }))).code).toBe("io");
});
