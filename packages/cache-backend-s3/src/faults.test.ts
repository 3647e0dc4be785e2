import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FaultyForwarder, type PlannedFault, startFaultyForwarder } from "@fleetfoot-tooling/systems/faults";
import type { Minio } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { downloadToFile } from "@fleetfoot/cache-backend";
import type { PutBody } from "@fleetfoot/cache-backend";
import { describeLostAnswers } from "@fleetfoot/cache-backend/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { S3StoreOptions } from "./options.ts";
import { createS3Store } from "./s3-store.ts";
import type { S3Store } from "./s3-store.ts";

const mebibyte = 1024 * 1024;
const bucket = "faults";
/** Three parts. */
const content = Buffer.alloc(11 * mebibyte, "0123456789");

let forwarder: FaultyForwarder;
let folder: string;
let direct: S3Store;

function bodyOf(bytes: Uint8Array): PutBody {
  const openRange = (start: number, end: number) => new Blob([bytes.slice(start, end)]).stream();
  return { bytes: bytes.byteLength, open: () => openRange(0, bytes.byteLength), openRange };
}

function open(minio: Minio, options: Partial<S3StoreOptions> = {}): S3Store {
  const { accessKeyId, secretAccessKey, region } = minio;
  const sleep = async (): Promise<void> => {};
  const keys = { bucket, region, accessKeyId, secretAccessKey, insecure: true, partBytes: 5 * mebibyte };
  return createS3Store({ serverAddress: forwarder.address, idleTimeoutMs: 1500, sleep, ...keys, ...options });
}

/** Names of uploads that were begun and not ended. */
async function uploadsOf({ request }: Minio): Promise<readonly (string | undefined)[]> {
  const answer = await request({ method: "GET", path: `/${bucket}`, query: { uploads: "" } });
  return [...(await answer.text()).matchAll(/<Key>([^<]*)</g)].map(([, name]) => name);
}

describeWithSystem("minio", (minio) => {
  beforeEach(async () => {
    forwarder = await startFaultyForwarder(minio().endpoint);
    folder = await mkdtemp(join(tmpdir(), "faults-"));
    await minio().request({ method: "PUT", path: `/${bucket}` });
    direct = open(minio(), { serverAddress: new URL(minio().endpoint).host });
  });
  afterEach(async () => {
    await forwarder[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  describe("an upload whose connection fails", () => {
    it.each<{ row: string; bytes: number; plan: PlannedFault; attemptTimeoutMs?: number }>([
      {
        row: "hangs in the middle of its only request",
        bytes: mebibyte,
        plan: { request: /^PUT /, within: "request", afterBytes: 100_000, fault: "hang" },
      },
      {
        row: "is not answered",
        bytes: mebibyte,
        plan: { request: /^PUT /, within: "answer", fault: "hang" },
      },
      {
        row: "hangs where an upload in parts begins",
        bytes: content.byteLength,
        plan: { request: /^POST \S*uploads/, within: "answer", fault: "hang" },
      },
      {
        row: "hangs in the middle of a part",
        bytes: content.byteLength,
        plan: { request: /^PUT \S*partNumber=2/, within: "request", afterBytes: mebibyte, fault: "hang" },
      },
      {
        row: "breaks off in the middle of a part",
        bytes: content.byteLength,
        plan: { request: /^PUT \S*partNumber=3/, within: "request", afterBytes: 100_000, fault: "break" },
      },
      {
        row: "breaks off after the parts were put together, and before that is told",
        bytes: content.byteLength,
        plan: { request: /^POST \S*uploadId/, within: "answer", fault: "break" },
      },
      {
        row: "hangs after the parts were put together, for as long as one try may take",
        bytes: content.byteLength,
        plan: { request: /^POST \S*uploadId/, within: "answer", fault: "hang" },
        attemptTimeoutMs: 3000,
      },
    ])("is tried again, and leaves nothing but the object: $row", async ({ row, bytes, plan, attemptTimeoutMs }) => {
      const name = `dir/${row}`;
      forwarder.planned.push(plan);
      const fault = forwarder.nextFault();
      const body = content.subarray(0, bytes);
      const facts = await open(minio()).put(name, bodyOf(body), { attemptTimeoutMs, concurrency: 1 });
      await fault;
      expect(await direct.head(name)).toMatchObject({ bytes, version: facts.version });
      const stored = await direct.get(name);
      expect(Buffer.from(await new Response(stored?.body).arrayBuffer()).equals(body)).toBe(true);
      // Nobody but the service knows of an upload whose begin was not answered.
      const unknown = row.includes("begins") ? [name] : [];
      expect((await uploadsOf(minio())).filter((other) => other === name)).toEqual(unknown);
    });

    it.each<PlannedFault>([
      { request: /^POST \S*uploadId/, within: "answer", fault: "break" },
      { request: /^POST \S*uploadId/, within: "answer", fault: "hang" },
    ])(
      "is not taken for somebody else's: it was to be the first, and what is lost ($fault) is only the answer",
      async (plan) => {
        const name = `dir/first-${plan.fault}`;
        forwarder.planned.push(plan);
        const fault = forwarder.nextFault();
        const transfer = { attemptTimeoutMs: 3000, concurrency: 1 };
        const facts = await open(minio()).putIf(name, bodyOf(content), { absent: true }, transfer);
        await fault;
        expect(await direct.head(name)).toMatchObject({ version: facts?.version });
        expect(await open(minio()).putIf(name, bodyOf(content), { absent: true }, transfer)).toBeUndefined();
      },
    );

    describeLostAnswers(async () => {
      await direct.delete("dir/name");
      const lossy = open(minio());
      return {
        lossy,
        direct,
        longBytes: content.byteLength,
        lose(what, isLong) {
          const request = isLong ? /^POST \S*uploadId/ : /^PUT /;
          forwarder.planned.push({ request, within: what, fault: "break" });
          return forwarder.nextFault();
        },
        loseLook() {
          forwarder.planned.push({ request: /^HEAD /, within: "answer", fault: "break" });
          return forwarder.nextFault();
        },
        close: async () => {},
      };
    });

    it.each([{ isLong: false }, { isLong: true }])(
      "knows its own with a role that may not look at what it uploads (in parts: $isLong)",
      async ({ isLong }) => {
        const name = `dir/of-a-role-${isLong}`;
        const request = isLong ? /^POST \S*uploadId/ : /^PUT /;
        forwarder.planned.push({ request, within: "answer", fault: "break" });
        const body = bodyOf(isLong ? content : content.subarray(0, 1000));
        const store = open(minio(), { roleArn: "arn:minio:iam:::role/cache" });
        const facts = await store.putIf(name, body, { absent: true });
        expect(forwarder.planned).toEqual([]);
        expect(await direct.head(name)).toEqual(facts);
      },
    );

    it("ends with the job, whatever the service does", async () => {
      const stop = new AbortController();
      // The last one is for the request that gives the upload up.
      for (const request of [/^PUT \S*partNumber=1/, /^DELETE /])
        forwarder.planned.push({ request, within: "answer", fault: "hang" });
      const fault = forwarder.nextFault();
      const putting = open(minio(), { idleTimeoutMs: 600_000 }).put("dir/ended", bodyOf(content), {
        signal: stop.signal,
        concurrency: 1,
      });
      putting.catch(() => {});
      await fault;
      stop.abort(new Error("the job's time is up"));
      await expect(putting).rejects.toBe(stop.signal.reason);
      expect(await direct.head("dir/ended")).toBeUndefined();
    });

    it("fails with a message for people when every try is silent", async () => {
      for (let tries = 0; tries < 2; tries += 1)
        forwarder.planned.push({ request: /^PUT /, within: "answer", fault: "hang" });
      const store = open(minio(), { maxAttempts: 2 });
      await expect(store.put("dir/silent", bodyOf(content.subarray(0, 1000)))).rejects.toMatchObject({
        code: "unavailable",
        retryable: true,
        message: 's3 put "dir/silent": no answer: the connection was silent for 1500 ms',
      });
    });
  });

  describe("a download whose connection fails", () => {
    it.each<{ row: string; concurrency: number; plan: PlannedFault }>([
      {
        row: "hangs before it is answered",
        concurrency: 1,
        plan: { request: /^GET /, within: "answer", fault: "hang" },
      },
      {
        row: "hangs in the middle",
        concurrency: 1,
        plan: { request: /^GET /, within: "answer", afterBytes: mebibyte, fault: "hang" },
      },
      {
        row: "hangs where ranges are asked for first",
        concurrency: 2,
        plan: { request: /range: bytes=0-0/i, within: "answer", fault: "hang" },
      },
      {
        row: "hangs in the middle of a range",
        concurrency: 2,
        plan: { request: /range: bytes=5242880-/i, within: "answer", afterBytes: 100_000, fault: "hang" },
      },
      {
        row: "breaks off in the middle of a range",
        concurrency: 2,
        plan: { request: /range: bytes=0-5/i, within: "answer", afterBytes: mebibyte, fault: "break" },
      },
    ])("goes on where it was, and leaves nothing but the file: $row", async ({ concurrency, plan }) => {
      await direct.put("dir/there", bodyOf(content));
      forwarder.planned.push(plan);
      const fault = forwarder.nextFault();
      const path = join(folder, "cache.zip");
      const sleep = async (): Promise<void> => {};
      const transfer = { concurrency, chunkBytes: 5 * mebibyte, sleep };
      const { outcome } = await downloadToFile(open(minio()), "dir/there", path, transfer);
      await fault;
      expect([outcome, (await readFile(path)).equals(content)]).toEqual(["downloaded", true]);
      expect(await readdir(folder)).toEqual(["cache.zip"]);
    });

    it("ends with the job, and leaves nothing", async () => {
      await direct.put("dir/there", bodyOf(content));
      forwarder.planned.push({ request: /^GET /, within: "answer", afterBytes: mebibyte, fault: "hang" });
      const fault = forwarder.nextFault();
      const stop = new AbortController();
      const store = open(minio(), { idleTimeoutMs: 600_000 });
      const getting = downloadToFile(store, "dir/there", join(folder, "cache.zip"), { signal: stop.signal });
      getting.catch(() => {});
      await fault;
      stop.abort(new Error("the job's time is up"));
      await expect(getting).rejects.toBe(stop.signal.reason);
      expect(await readdir(folder)).toEqual([]);
    });
  });
});
