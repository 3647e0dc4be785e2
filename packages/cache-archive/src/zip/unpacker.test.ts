import { existsSync, readdirSync } from "node:fs";
import { open, readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { constants, crc32, deflateRawSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CacheArchiveError } from "../errors.ts";
import { extractArchive } from "../extract.ts";
import { STAGING_PREFIX } from "../restore/staging-name.ts";
import { forgeZip } from "../test-support/forged-zip.ts";
import type { ForgedEntry } from "../test-support/forged-zip.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { inTurns } from "../turn.ts";
import { FLAG_DESCRIPTOR, METHOD_DEFLATE } from "./constants.ts";
import { planZipRestore } from "./plan-restore.ts";

const MEBIBYTE = 1024 * 1024;
/** Read with others; on its own; in pieces. */
const LENGTHS = [1000, 2 * MEBIBYTE, 5 * MEBIBYTE];

const pattern = Buffer.from(Array.from({ length: 70_001 }, (_, at) => (at * at) >> ((at >> 8) % 11)));

let scratch: Scratch;
let archivePath: string;
let root: string;
beforeEach(async () => {
  scratch = await makeScratch();
  archivePath = scratch.at("archive.zip");
  root = scratch.at("root");
});
afterEach(() => scratch[Symbol.asyncDispose]());

describe("deflated entries of other writers", () => {
  it.each([[0], [60_000]])(
    "are restored whatever their length and their headers (%i ms on the calling thread)",
    async (maxInlineMs) => {
      const entries: ForgedEntry[] = [];
      const headers = [0, FLAG_DESCRIPTOR].flatMap((flags) => [0, 40, 60_000].map((extra) => ({ flags, extra })));
      for (const length of [0, 1, 100, 1000, MEBIBYTE + 1, 4 * MEBIBYTE + 1]) {
        // The first and the last of them stand for all.
        for (const { flags, extra } of length < MEBIBYTE ? headers : [...headers.slice(0, 1), ...headers.slice(-1)]) {
          const name = `${length}-${flags}-${extra}`;
          const content = contentOf(length);
          entries.push({ name, content, method: METHOD_DEFLATE, flags, local: { extra: extraOf(extra) } });
        }
      }
      await writeFile(archivePath, forgeZip(entries));
      await extractArchive({ archivePath, root, maxInlineMs });
      for (const { name, content } of entries) {
        const found = await readFile(path.join(root, name.toString()));
        expect(found.compare(Buffer.from(content ?? "")), name.toString()).toBe(0);
      }
    },
  );

  describe.each(LENGTHS)("of %i bytes are refused", (length) => {
    const content = contentOf(length);
    const packed = deflateRawSync(content);
    const flipped = Buffer.from(packed);
    flipped[3] = (flipped[3] ?? 0) ^ 0xff;

    it.each<[what: string, data: Buffer, bytes: number, codes: readonly string[]]>([
      ["end too early", packed.subarray(0, -1), length, ["truncated"]],
      ["never end", deflateRawSync(content, { finishFlush: constants.Z_SYNC_FLUSH }), length, ["truncated"]],
      ["hold more than they say", packed, length - 1, ["size-mismatch"]],
      ["hold less than they say", packed, length + 1, ["size-mismatch"]],
      ["are no deflate stream", Buffer.alloc(packed.length, 0xff), length, ["malformed"]],
      ["have another content", deflateRawSync(Buffer.alloc(length, "other")), length, ["checksum"]],
      ["are damaged", flipped, length, ["malformed", "truncated", "checksum", "size-mismatch"]],
    ])("when they %s", async (_what, data, bytes, codes) => {
      const facts = { method: METHOD_DEFLATE, bytes, crc: crc32(content) };
      const good: ForgedEntry = { name: "good", content: contentOf(50), method: METHOD_DEFLATE };
      await writeFile(
        archivePath,
        forgeZip([good, { name: "bad", content: data, central: facts, local: facts }, { ...good, name: "too" }]),
      );
      const error: unknown = await extractArchive({ archivePath, root }).catch((reason: unknown) => reason);
      expect(CacheArchiveError.isInstance(error) ? error.code : error).toBeOneOf([...codes]);
      expect(error).toMatchObject({ entryName: "bad" });
      await expect(readFile(path.join(root, "good"))).rejects.toThrow("ENOENT");
    });
  });
});

describe("an entry that holds nothing for megabytes", () => {
  /** Empty blocks without end. */
  const emptiness = (length: number): ForgedEntry => {
    const facts = { method: METHOD_DEFLATE, bytes: 1, crc: 0 };
    return { name: "f", content: Buffer.alloc(length, Buffer.from("000000ffff", "hex")), central: facts, local: facts };
  };

  it.each([[MEBIBYTE + 5], [5 * MEBIBYTE]])("can be given up in the middle of its %i bytes", async (length) => {
    await writeFile(archivePath, forgeZip([emptiness(length)]));
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    let now = 0;
    // Every step is as long as a turn may be.
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 100));
    const abortOnceBegun = (): void => {
      const staging = readdirSync(scratch.path).find((name) => name.startsWith(STAGING_PREFIX));
      if (staging !== undefined && existsSync(scratch.at(staging, "tree/f"))) controller.abort(reason);
      else waiting = setImmediate(abortOnceBegun);
    };
    let waiting = setImmediate(abortOnceBegun);
    try {
      const options = { archivePath, root, maxInlineMs: 60_000, signal: controller.signal };
      // At its end it would be found to be cut off.
      await expect(extractArchive(options)).rejects.toBe(reason);
    } finally {
      clearImmediate(waiting);
      clock.mockRestore();
    }
    expect(await readdir(root)).toEqual([]);
    // What was begun is cleared away later.
    await expect.poll(async () => (await readdir(scratch.path)).sort()).toEqual(["archive.zip", "root"]);
  });

  it("counts as the work that it is", async () => {
    await writeFile(archivePath, forgeZip([emptiness(3 * MEBIBYTE), { name: "g", content: "ten bytes!" }]));
    const handle = await open(archivePath);
    try {
      const { size } = await handle.stat();
      const limits = { maxBytes: 1000, maxRatio: 1000 };
      const schedule = await inTurns(
        planZipRestore({ path: archivePath, descriptor: handle.fd, size }, limits),
        undefined,
      );
      expect(schedule.workBytes).toBe(3 * MEBIBYTE + 10);
    } finally {
      await handle.close();
    }
  });
});

/** Neither noise nor all the same. */
function contentOf(length: number): Buffer {
  return Buffer.alloc(length, pattern);
}

function extraOf(bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(bytes);
  // Of a kind that nobody knows.
  extra.writeUInt16LE(0xfe_ca, 0);
  extra.writeUInt16LE(bytes - 4, 2);
  return extra;
}
