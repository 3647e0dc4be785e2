import { execFile } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

import { rolldown } from "rolldown";
import { describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { STAGING_PREFIX } from "../restore/staging-name.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { JobControl, makeControl } from "./control.ts";
import { WorkerPool } from "./pool.ts";

const run = promisify(execFile);
const sources = path.resolve(import.meta.dirname, "..");

/** A program that writes and restores an archive on threads and prints what it was warned of. */
const program = (scratch: Scratch, from: string): string => `
  const { createArchive, extractArchive, openSelection, selectFiles } = await import(${JSON.stringify(from)});
  process.on("warning", ({ code }) => console.log("warning", code));
  const root = ${JSON.stringify(scratch.at("project"))};
  const archivePath = ${JSON.stringify(scratch.at("cache.zip"))};
  const { entries } = await selectFiles({ root, paths: ["."] });
  await createArchive({ root, entries, archivePath, maxInlineMs: 0 });
  const { entries: count } = await extractArchive({ archivePath, root: ${JSON.stringify(scratch.at("restored"))}, maxInlineMs: 0 });
  console.log("restored", count);`;

const fromSources = ["--conditions=@fleetfoot/source"];

describe("the pool of worker threads", () => {
  it("works in a bundle that has the worker as an entry point of its own", async () => {
    await using scratch = await makeProject();
    const bundle = await rolldown({
      input: { app: path.join(sources, "index.ts"), "archive-worker": path.join(sources, "archive-worker.ts") },
      platform: "node",
      external: ["archiver", "compress-commons", "unzipper"],
      resolve: { conditionNames: ["@fleetfoot/source", "node", "import"] },
    });
    await bundle.write({ dir: scratch.at("bundle"), format: "esm" });
    await bundle.close();
    await writeFile(scratch.at("main.mjs"), program(scratch, scratch.at("bundle/app.js")));
    const { stdout } = await run(process.execPath, [scratch.at("main.mjs")]);
    expect(stdout).not.toContain("warning");
    expect(stdout).toContain("restored 4");
  });

  it("gives way to the streaming engine, and says so once, where no threads may be started", async () => {
    await using scratch = await makeProject();
    // Without the restore: Node's permissions forbid to set times by descriptor, whatever the engine.
    const whole = program(scratch, path.join(sources, "index.ts"));
    const again = `await createArchive({ root, entries: openSelection({ root, paths: ["."] }), archivePath, maxInlineMs: 0 });`;
    await writeFile(scratch.at("main.mjs"), `${whole.slice(0, whole.indexOf("const { entries: count }"))} ${again}`);
    const permissions = ["--permission", "--allow-fs-read=*", "--allow-fs-write=*", ...fromSources];
    const { stdout } = await run(process.execPath, [...permissions, scratch.at("main.mjs")]);
    expect(stdout.match(/warning FLEETFOOT_NO_WORKERS/g)).toHaveLength(1);
    const { entries } = await extractArchive({ archivePath: scratch.at("cache.zip"), root: scratch.at("restored") });
    expect(entries).toBe(4);
  });

  it("neither keeps a process alive nor delays its end", async () => {
    await using scratch = await makeProject();
    await writeFile(scratch.at("main.mjs"), program(scratch, path.join(sources, "index.ts")));
    // It would never come back otherwise.
    const { stdout } = await run(process.execPath, [...fromSources, scratch.at("main.mjs")]);
    expect(stdout).toContain("restored 4");
  });

  it("ends its threads when they are idle", async () => {
    const pool = new WorkerPool({ size: 2, idleMs: 1 });
    const file = { path: "damaged", descriptor: -1, size: 10 };
    const task = { kind: "plan-zip" as const, file, limits: { maxBytes: 1, maxRatio: 1 } };
    const failure = pool.run({ task, control: makeControl(1), concurrency: 2, signal: undefined });
    await expect(failure).rejects.toThrow();
    expect(pool.threads).toBeGreaterThan(0);
    await expect.poll(() => pool.threads).toBe(0);
  });

  it("has a thread ready only when the program of one that was prepared runs", async () => {
    const pool = new WorkerPool({ size: 1, idleMs: 60_000 });
    pool.prepare(2);
    expect([pool.threads, pool.hasIdle, pool.hasReady]).toEqual([1, true, false]);
    await expect.poll(() => pool.hasReady, { timeout: 30_000 }).toBe(true);
  });

  it("begins a job at once while another one keeps all threads, and lets go of one that has no thread yet", async () => {
    const pool = new WorkerPool({ size: 2, idleMs: 1 });
    const file = { path: "damaged", descriptor: -1, size: 10 };
    const task = { kind: "plan-zip" as const, file, limits: { maxBytes: 1, maxRatio: 1 } };
    const stop = new Error("stop");
    const hold = (): { readonly held: Promise<unknown>; readonly controller: AbortController } => {
      const control = makeControl(5, [1]);
      // Everybody else waits for this unit, which is never done.
      new JobControl(control).claim(0, () => undefined);
      const controller = new AbortController();
      const held = pool.run({ task, control, concurrency: 2, signal: controller.signal });
      return { held, controller };
    };
    const first = hold();
    expect(pool.threads).toBe(2);
    const second = hold();
    expect(pool.threads).toBe(3);
    const third = hold();
    expect(pool.threads).toBe(3);
    third.controller.abort(stop);
    await expect(third.held).rejects.toBe(stop);
    for (const { held, controller } of [first, second]) {
      controller.abort(stop);
      await expect(held).rejects.toBe(stop);
    }
    await expect.poll(() => pool.threads).toBe(0);
  });

  it("stops at once when the signal aborts, and leaves neither an archive nor a half tree", async () => {
    await using scratch = await makeProject();
    await writeFile(scratch.at("project/long"), Buffer.alloc(200_000_000, "some text "));
    const { entries } = await selectFiles({ root: scratch.at("project"), paths: ["."] });
    const archivePath = scratch.at("cache.zip");
    const stop = new Error("stop");
    const options = { root: scratch.at("project"), entries, archivePath };
    const packing = abortDuring(() => bytesBelow(scratch.path, "archive_", ""), stop);
    await expect(createArchive({ ...options, signal: packing })).rejects.toBe(stop);
    expect(await readdir(scratch.path)).toEqual(["project"]);
    await createArchive(options);
    const signal = abortDuring(() => bytesBelow(scratch.path, STAGING_PREFIX, "tree/long"), stop);
    await expect(extractArchive({ archivePath, root: scratch.at("restored"), signal })).rejects.toBe(stop);
    expect((await selectFiles({ root: scratch.at("restored"), paths: ["*"] })).entries).toEqual([]);
  });
});

/**
 * Aborts while threads write a file. They are watched without a turn of the event loop, so that their end cannot be noticed before, however late
 * this thread gets its time.
 *
 * @param bytes - that are written by now; `undefined` while the place for them has not been made
 */
function abortDuring(bytes: () => number | undefined, reason: Error): AbortSignal {
  const controller = new AbortController();
  const { signal } = controller;
  const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));
  const listen = signal.addEventListener.bind(signal);
  signal.addEventListener = (...parameters: Parameters<typeof listen>): void => {
    listen(...parameters);
    // Whoever listens hands the work to threads in the same breath.
    queueMicrotask(() => {
      if (bytes() === undefined) return;
      // Threads that fail write nothing, and nobody else could end this.
      for (let left = MOST_LOOKS; left > 0 && bytes() === 0; left -= 1) Atomics.wait(nobodyWakes, 0, 0, 1);
      controller.abort(reason);
    });
  };
  return signal;
}

const MOST_LOOKS = 20_000;

/** Size of a file below the first folder entry whose name begins so; `undefined` when there is no such entry. */
function bytesBelow(folder: string, prefix: string, name: string): number | undefined {
  const found = readdirSync(folder).find((entry) => entry.startsWith(prefix));
  return found === undefined
    ? undefined
    : (statSync(path.join(folder, found, name), { throwIfNoEntry: false })?.size ?? 0);
}

async function makeProject(): Promise<Scratch> {
  const scratch = await makeScratch();
  await mkdir(scratch.at("project/d"), { recursive: true });
  await writeFile(scratch.at("project/d/f"), "content");
  await writeFile(scratch.at("project/g"), "x".repeat(3_000_000));
  return scratch;
}
