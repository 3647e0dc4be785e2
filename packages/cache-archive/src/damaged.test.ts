import type * as FileSystem from "node:fs";
import { lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { constants, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";

import { createArchive } from "./create.ts";
import { CacheArchiveError } from "./errors.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { encodeHeader, padding } from "./tar/header.ts";
import { forgeZip } from "./test-support/forged-zip.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";

/*
 * Whatever becomes of the bytes of an archive: nothing is written outside the root, all of it is restored or nothing, and it ends. What ends is told
 * by work, not by time: how often files are read and written.
 */
const CASES = Number(process.env["FLEETFOOT_DAMAGED_ARCHIVES"] ?? 2000);
const FIRST_SEED = Number(process.env["FLEETFOOT_FIRST_SEED"] ?? 1);
const MAX_BYTES = 1024 * 1024;
/** The archives take some hundred. */
const MAX_CALLS = 20_000;

const calls = vi.hoisted(() => ({ count: 0 }));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof FileSystem>();
  const counted = <T extends (...args: never[]) => unknown>(call: T): T =>
    ((...args: Parameters<T>) => {
      calls.count += 1;
      if (calls.count > MAX_CALLS) throw new Error("it reads and writes without end");
      return call(...args);
    }) as T;
  return { ...fs, readSync: counted(fs.readSync), writeSync: counted(fs.writeSync) };
});

let scratch: Scratch;
let archives: Buffer[];

beforeAll(async () => {
  scratch = await makeScratch();
  archives = await validArchives();
});
afterAll(async () => await scratch[Symbol.asyncDispose]());

describe.each(["parallel", "streaming"] as const)("the %s engine", (engine) => {
  beforeEach(() => {
    mkdirSync(scratch.at("outside"), { recursive: true });
    writeFileSync(scratch.at("outside/theirs"), "theirs");
    renewRoot();
  });

  it(`restores all or nothing of ${CASES / 2} damaged archives`, { timeout: 60_000 + CASES * 50 }, async () => {
    const found = new Map<string, number>();
    const before = describeOutside();
    for (let nth = 0; nth < CASES / 2; nth += 1) {
      const seed = FIRST_SEED + nth;
      const archivePath = scratch.at("archive");
      writeFileSync(archivePath, damagedArchive(new Random(seed), archives));
      calls.count = 0;
      const outcome = await extractArchive({
        archivePath,
        root: scratch.at("root"),
        engine,
        maxBytes: MAX_BYTES,
        maxInlineMs: 60_000,
      }).then(
        () => "restored",
        (error: unknown) => error,
      );
      const code = CacheArchiveError.isInstance(outcome) ? outcome.code : outcome;
      expect(code, `seed ${seed}`).toBeTypeOf("string");
      found.set(String(code), (found.get(String(code)) ?? 0) + 1);
      expect(describeOutside(), `seed ${seed}`).toEqual(before);
      if (outcome === "restored") renewRoot();
      else expect(readdirSync(scratch.at("root")), `seed ${seed}`).toEqual(["esc"]);
    }
    // Enough of each, so that the damage is neither too little nor too much.
    for (const code of ["restored", "malformed", "truncated", "checksum", "header-mismatch"]) {
      expect(found.get(code) ?? 0, code).toBeGreaterThan(CASES / 400);
    }
  });
});

function renewRoot(): void {
  rmSync(scratch.at("root"), { recursive: true, force: true });
  mkdirSync(scratch.at("root"));
  symlinkSync("../outside", scratch.at("root/esc"));
}

function describeOutside(): unknown {
  const { mode, mtimeMs, uid } = lstatSync(scratch.at("outside"));
  const theirs = readFileSync(scratch.at("outside/theirs"), "utf8");
  const names = [scratch.path, scratch.at("outside")].map((place) => readdirSync(place).sort());
  return { mode, mtimeMs, uid, theirs, names };
}

/** Small ones of every kind, so that damage meets every field. */
async function validArchives(): Promise<Buffer[]> {
  // A byte away from what is refused.
  const contents = { "a/b": "content", "a/empty": "", ".-/near": "x".repeat(300), "esb/f": "some text ".repeat(50) };
  const root = scratch.at("valid");
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(scratch.at("valid", name, ".."), { recursive: true });
    writeFileSync(scratch.at("valid", name), content);
  }
  symlinkSync("a/b", scratch.at("valid/link"));
  const { entries } = await selectFiles({ root, paths: ["."] });
  const archivePath = scratch.at("archive");
  const made: Buffer[] = [];
  for (const concurrency of [1, 2]) {
    for (const [format, level] of [
      ["zip", "fastest"],
      ["zip", "default"],
      ["zipzstd", "default"],
      ["tarzstd", "default"],
    ] as const) {
      await createArchive({ root, entries, archivePath, format, level, concurrency });
      made.push(readFileSync(archivePath));
    }
  }
  rmSync(root, { recursive: true });
  const files = Object.entries(contents).map(([name, content]) => ({ name, content }));
  made.push(forgeZip(files.map((file, nth) => ({ ...file, method: nth % 2 === 0 ? 8 : 0 }))));
  const parts = files.flatMap(({ name, content }) => {
    const facts = { type: "file", mode: 0o644, uid: 0, gid: 0, mtime: 0, linkTarget: Buffer.alloc(0) } as const;
    // The longer one gets an extended header.
    const header = encodeHeader({ ...facts, name: Buffer.from(`${name}-ü`), bytes: content.length });
    return [header, Buffer.from(content), padding(content.length)];
  });
  const tar = Buffer.concat([...parts, Buffer.alloc(1024)]);
  made.push(zstdCompressSync(tar), zstdCompressSync(tar, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }));
  made.push(gzipSync(tar));
  return made;
}

function damagedArchive(random: Random, valid: readonly Buffer[]): Buffer {
  const chosen = random.pick(valid);
  const isOneFrame = chosen.readUInt32LE(0) === 0xfd2fb528 && chosen.indexOf("ffltidx1", -8) === -1;
  // What is packed is hardly ever unpacked when it is damaged, so what was packed is damaged, too.
  if (isOneFrame && random.below(4) > 0) return zstdCompressSync(damaged(random, zstdDecompressSync(chosen), valid));
  return damaged(random, chosen, valid);
}

function damaged(random: Random, valid: Buffer, others: readonly Buffer[]): Buffer {
  let bytes = valid;
  for (let times = 1 + random.below(3); times > 0; times -= 1) bytes = damagedOnce(random, bytes, others);
  return bytes;
}

const TOKENS = ["../", "esc/", "/", "\0", ".fleetfoot-restore-0", "PK\x01\x02", "PK\x03\x04", "\xff\xff\xff\xff"];

function damagedOnce(random: Random, bytes: Buffer, others: readonly Buffer[]): Buffer {
  const at = random.below(bytes.length + 1);
  const length = random.below(random.below(4) === 0 ? 600 : 12);
  const part = bytes.subarray(at, at + length);
  const [head, rest] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2: {
      const flipped = Buffer.from(bytes);
      if (at < bytes.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
      return flipped;
    }
    case 3: {
      const token = Buffer.from(random.pick(TOKENS), "latin1");
      return Buffer.concat([head, token, rest.subarray(token.length)]);
    }
    case 4:
      return Buffer.concat([head, Buffer.alloc(part.length, random.pick([0, 0x7f, 0xff])), rest.subarray(part.length)]);
    case 5:
      return Buffer.concat([head, part, rest]);
    case 6:
      return random.below(4) === 0 ? head : Buffer.concat([head, rest.subarray(length)]);
    default: {
      const other = random.pick(others);
      const from = random.below(other.length);
      return Buffer.concat([head, other.subarray(from, from + length), rest.subarray(random.below(2) * length)]);
    }
  }
}

/** The same numbers for the same seed. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 1) >>> 0;
    for (let warmUp = 0; warmUp < 8; warmUp += 1) this.below(1);
  }

  /** A whole number from 0 up to, but not including, `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state = (this.#state ^ (this.#state << 5)) >>> 0;
    return this.#state % limit;
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new RangeError("there is nothing to choose from");
    return choice;
  }
}
