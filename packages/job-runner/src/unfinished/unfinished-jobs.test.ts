import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Secret } from "@fleetfoot/coordinator-client";
import type { LogFields, Logger } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { UnfinishedJobFacts, UnfinishedJobs } from "./types.ts";
import { removeTemporaryFiles } from "./remove-temporary-files.ts";
import { openUnfinishedJobs } from "./unfinished-jobs.ts";

const TOKEN = "glcbt-64_secret";

let root: string;
let warnings: { message: string; fields: LogFields | undefined }[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "unfinished-"));
  warnings = [];
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

describe("openUnfinishedJobs", () => {
  it("gives the next process what this one knew of a job", async () => {
    const record = await (await open()).begin(facts(7));
    await writeFile(record.traceFile, "log");
    record.acknowledge(1);
    record.acknowledge(3);
    await record.conclude({ state: "failed", failureReason: "script_failure", exitCode: 7 });
    await record.release();

    const [found, ...others] = await (await open()).takeOver();
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      acknowledgedBytes: 3,
      result: { state: "failed", failureReason: "script_failure", exitCode: 7 },
    });
    expect({ ...found?.facts, token: found?.facts.token.reveal() }).toEqual({ ...facts(7), token: TOKEN });
    expect(await readFile(found?.traceFile ?? "", "utf8")).toBe("log");
  });

  it("gives a job that was killed while it ran no result", async () => {
    await (await open()).begin(facts(7));
    const [found] = await (await open()).takeOver();
    expect(found).toMatchObject({ acknowledgedBytes: 0, result: undefined });
  });

  it("keeps records where only their owner can read them", async () => {
    const record = await (await open()).begin(facts(7));
    await record.conclude({ state: "success" });
    record.acknowledge(1);
    await record.release();
    const folder = join(record.traceFile, "..");
    const modes = await Promise.all(
      [folder, ...(await readdir(folder)).map((name) => join(folder, name))].map(
        async (path) => (await stat(path)).mode & 0o077,
      ),
    );
    expect(modes).toEqual([0, 0, 0, 0]);
  });

  it("leaves nothing of a job that is forgotten, also while it still writes", async () => {
    const jobs = await open();
    const record = await jobs.begin(facts(7));
    for (let bytes = 0; bytes < 100; bytes += 1) record.acknowledge(bytes);
    await record.forget();
    expect(await readdir(join(root, "jobs"))).toEqual([]);
  });

  it("does not give away the records that this process works on", async () => {
    const jobs = await open();
    const mine = await jobs.begin(facts(1));
    const released = await jobs.begin(facts(2));
    await released.release();
    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([2]);
    expect(await jobs.takeOver()).toEqual([]);
    await mine.release();
    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([1]);
  });

  it("removes what a process left that was killed while it started a record", async () => {
    const jobs = await open();
    await mkdir(join(root, "jobs", ".new-7-x"));
    expect(await jobs.takeOver()).toEqual([]);
    expect(await readdir(join(root, "jobs"))).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it.each([
    { what: "is no JSON", text: `{"version":1,"token":"${TOKEN}"`, says: "no JSON" },
    { what: "is empty, as a full disk leaves it", text: "", says: "no JSON" },
    { what: "is no object", text: "7", says: "no object" },
    { what: "is of a later program", text: JSON.stringify({ version: 2, token: TOKEN }), says: "version" },
    { what: "lacks a member", text: json({ url: undefined }), says: "url" },
    { what: "has a member of another kind", text: json({ id: "7" }), says: "id" },
    {
      what: "would remove what is no directory of a job",
      text: json({ temporaryDirectory: "/" }),
      says: "temporaryDirectory",
    },
    { what: "is of another machine", text: json({ systemId: "s_ba9876543210" }), says: "s_ba9876543210" },
    { what: "has a result that is none", text: json({}), result: '{"state":"running"}', says: "result" },
    { what: "has a torn result", text: json({}), result: `{"state":"fai`, says: "no JSON" },
  ])("puts a record aside that $what, and finds the others", async ({ text, result, says }) => {
    const jobs = await open();
    await (await jobs.begin(facts(8))).release();
    await mkdir(join(root, "jobs", "7-broken"));
    await writeFile(join(root, "jobs", "7-broken", "job.json"), text);
    if (result !== undefined) await writeFile(join(root, "jobs", "7-broken", "result.json"), result);

    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([8]);
    expect(warnings).toHaveLength(1);
    expect(String(warnings[0]?.fields?.["error"])).toContain(says);
    expect(JSON.stringify(warnings) + String(warnings[0]?.fields?.["error"])).not.toContain(TOKEN);
    const [aside = ""] = await readdir(join(root, "aside"));
    expect(warnings[0]?.fields?.["record"]).toBe(join(root, "aside", aside));
    expect(await readFile(join(root, "aside", aside, "job.json"), "utf8")).toBe(text);
    expect(await jobs.takeOver()).toEqual([]);
  });

  it("puts a directory without a record and a stray file aside", async () => {
    const jobs = await open();
    await mkdir(join(root, "jobs", "7-nothing"));
    await writeFile(join(root, "jobs", "stray"), "x");
    expect(await jobs.takeOver()).toEqual([]);
    expect(await readdir(join(root, "jobs"))).toEqual([]);
    expect(await readdir(join(root, "aside"))).toHaveLength(2);
  });

  it.skipIf(process.platform !== "linux")("leaves a record where it is that cannot be read now", async () => {
    const jobs = await open();
    await (await jobs.begin(facts(8))).release();
    await mkdir(join(root, "jobs", "7-unreadable"));
    // Reading the first bytes of a process's memory fails with EIO.
    await symlink("/proc/self/mem", join(root, "jobs", "7-unreadable", "job.json"));
    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([8]);
    expect(await readdir(join(root, "jobs"))).toContain("7-unreadable");
    expect(warnings).toMatchObject([{ message: expect.stringContaining("tried again later") as string }]);
  });

  it("gives the other records when one can be neither used nor put aside", async () => {
    const jobs = await open();
    await (await jobs.begin(facts(8))).release();
    await mkdir(join(root, "jobs", "7-broken"));
    await writeFile(join(root, "aside"), "no directory");
    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([8]);
    expect(await readdir(join(root, "jobs"))).toContain("7-broken");
  });

  it("takes an acknowledged size that is torn for none", async () => {
    const record = await (await open()).begin(facts(7));
    await writeFile(join(record.traceFile, "..", "acknowledged"), "12");
    const [found] = await (await open()).takeOver();
    expect(found?.acknowledgedBytes).toBe(0);
  });
});

describe("removeTemporaryFiles", () => {
  it("removes the temporary directory of a job, and takes no notice when there is none", async () => {
    const temporaryDirectory = join(root, "builds", "p.tmp");
    await mkdir(temporaryDirectory, { recursive: true });
    await writeFile(join(temporaryDirectory, "KEY"), "secret");
    const record = await (await open()).begin({ ...facts(7), temporaryDirectory });
    await removeTemporaryFiles(record);
    await removeTemporaryFiles(record);
    expect(await readdir(join(root, "builds"))).toEqual([]);
  });
});

function open(): Promise<UnfinishedJobs> {
  const drop = vi.fn<Logger["debug"]>();
  return openUnfinishedJobs({
    directory: join(root, "jobs"),
    asideDirectory: join(root, "aside"),
    systemId: "s_0123456789ab",
    logger: { debug: drop, info: drop, error: drop, warn: (message, fields) => warnings.push({ message, fields }) },
  });
}

function facts(id: number): UnfinishedJobFacts {
  return {
    id,
    token: new Secret(TOKEN),
    url: "http://127.0.0.1",
    systemId: "s_0123456789ab",
    debugTrace: false,
    timestamps: true,
    outputLimitBytes: 4_194_304,
    temporaryDirectory: "/nonexistent/builds/p.tmp",
  };
}

function json(changes: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ version: 1, ...facts(7), token: TOKEN, ...changes });
}
