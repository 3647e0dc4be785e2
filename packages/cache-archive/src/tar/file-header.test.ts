import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { COLUMN, COLUMNS, FILE } from "../restore/restore-columns.ts";
import { RestoreTable } from "../restore/restore-table.ts";
import { FileHeader, wordsOf } from "./file-header.ts";
import { BLOCK_BYTES, encodeHeader } from "./header.ts";
import type { TarHeader } from "./header.ts";

type File = Omit<TarHeader, "type" | "linkTarget">;

/** Names that fit into a block, that fit in two parts, and that are not ASCII. */
const name = fc
  .oneof(fc.stringMatching(/^[!-~]{1,100}$/), fc.stringMatching(/^[!-~]{101,140}$/), fc.string({ minLength: 1 }))
  .map((text) => Buffer.from(text));
const small = fc.integer({ min: 0, max: 0o7777 });
const any = fc.oneof(small, fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const file: fc.Arbitrary<File> = fc.record({
  name,
  mode: small,
  uid: any,
  gid: any,
  bytes: fc.oneof(any, fc.integer({ min: 0, max: 2 ** 40 })),
  mtime: fc.oneof(any, fc.integer({ min: -5, max: 2 ** 40 })),
});

describe("the header of a file that becomes that of the next one", () => {
  it("is the one that is written, for one file after the other, where that is one block", () => {
    fc.assert(
      fc.property(fc.array(file, { minLength: 1, maxLength: 20 }), (files) => {
        const header = new FileHeader();
        const table = tableOf(files);
        for (const [index, facts] of files.entries()) {
          const written = written512(facts);
          const isOneBlock = written !== undefined;
          const found = header.isAt(wordsBehind(8, written ?? encoded(facts)), 8, table, index);
          expect(found).toBe(isOneBlock && facts.name.length <= 100);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("differs from every other block", () => {
    const facts = { name: Buffer.from("a/b"), mode: 0o644, uid: 1000, gid: 100, bytes: 12345, mtime: 1_700_000_000 };
    const header = new FileHeader();
    const table = tableOf([facts]);
    const block = encoded(facts);
    for (let at = 0; at < BLOCK_BYTES; at += 1) {
      const other = Buffer.from(block);
      other[at] = (other[at] ?? 0) ^ 1;
      expect(header.isAt(wordsOf(other), 0, table, 0), `byte ${at}`).toBe(false);
    }
    expect(header.isAt(wordsOf(block), 0, table, 0)).toBe(true);
  });
});

/** So that they begin where no word does in the memory that they share. */
function wordsBehind(bytes: number, header: Buffer): Int32Array {
  return wordsOf(Buffer.concat([Buffer.alloc(bytes + 1), header]).subarray(1));
}

function encoded(facts: File): Buffer {
  return encodeHeader({ ...facts, type: "file", linkTarget: Buffer.alloc(0) });
}

function written512(facts: File): Buffer | undefined {
  const header = encoded(facts);
  return header.length === BLOCK_BYTES ? header : undefined;
}

function tableOf(files: readonly File[]): RestoreTable {
  const names = new SharedArrayBuffer(files.reduce((sum, { name }) => sum + name.length, 0));
  const rows = new SharedArrayBuffer(files.length * COLUMNS * 8);
  const numbers = new Float64Array(rows);
  let nameStart = 0;
  for (const [index, { name, mode, uid, gid, bytes, mtime }] of files.entries()) {
    Buffer.from(names).set(name, nameStart);
    const row = { nameStart, nameLength: name.length, kind: FILE, mode, uid, gid, bytes, mtimeMs: mtime * 1000 };
    for (const [column, value] of Object.entries(row)) {
      numbers[index * COLUMNS + COLUMN[column as keyof typeof row]] = value;
    }
    nameStart += name.length;
  }
  return new RestoreTable({ names, rows });
}
