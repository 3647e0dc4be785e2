import { chmod, lchown, lstat, lutimes, mkdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { pathFromBytes, pathToBytes, printablePath, toFileSystemPath } from "./path-bytes.ts";
import { selectFiles } from "./select/select.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { ArchiveFormat, CreateArchiveOptions } from "./types.ts";

/** What stands in one place of a tree. */
type Node =
  | { readonly kind: "file"; readonly content: Uint8Array; readonly mode: number; readonly mtime: number }
  | { readonly kind: "symlink"; readonly target: Uint8Array; readonly mtime: number }
  | {
      readonly kind: "directory";
      readonly children: readonly (readonly [name: string, node: Node])[];
      readonly mode: number;
      readonly mtime: number;
    };

/** Names are any bytes but the slash and zero; many are not UTF-8. */
const name = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => pathFromBytes(bytes.map((byte) => (byte === 0x2f || byte === 0 ? 0x41 : byte))))
  .filter((text) => text !== "." && text !== "..");

// Whole seconds, as the format keeps them; from 1980 on, as the DOS time must not fail either.
const mtime = fc.integer({ min: 315_619_200, max: 2_000_000_000 });
const content = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 7 }), fc.integer({ min: 1, max: 30_000 }))
    .map(([unit, times]) => Buffer.alloc(unit.length * times, unit)),
);

const { tree } = fc.letrec<{ tree: Node; node: Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ kind: fc.constant("file" as const), content, mode: fc.integer({ min: 0, max: 0o777 }), mtime }),
    fc.record({
      kind: fc.constant("symlink" as const),
      target: fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => bytes.map((byte) => byte || 0x42)),
      mtime,
    }),
    tie("tree"),
  ),
  tree: fc.record({
    kind: fc.constant("directory" as const),
    children: fc.uniqueArray(fc.tuple(name, tie("node")), { maxLength: 5, selector: ([text]) => text }),
    // Its owner must be able to enter it, for the test to clean up.
    mode: fc.integer({ min: 0, max: 0o77 }).map((mode) => mode | 0o700),
    mtime,
  }),
}));

type Way = Pick<CreateArchiveOptions, "engine" | "maxInlineMs">;

/** On this thread, on worker threads, and by archiver and unzipper. */
const ways: readonly Way[] = [{}, { maxInlineMs: 0 }, { engine: "streaming" }];

describe("an archive", () => {
  it.each<ArchiveFormat>(["zip", "zipzstd", "tarzstd"])(
    "as %s gives back any tree, whatever its names are, and whichever engine writes and reads it",
    async (format) => {
      await fc.assert(
        fc.asyncProperty(
          tree,
          fc.constantFrom("fastest" as const, "fast" as const, "default" as const),
          fc.integer({ min: 1, max: 4 }),
          fc.constantFrom<Way>(...ways),
          fc.constantFrom<Way>(...ways),
          async (root, level, concurrency, packing, unpacking) => {
            await using scratch = await makeScratch();
            const source = scratch.at("source");
            const target = scratch.at("target");
            await build(source, root);
            const { entries, warnings } = await selectFiles({ root: source, paths: ["."] });
            expect(warnings).toEqual([]);
            const archivePath = scratch.at("cache.zip");
            await createArchive({ root: source, entries, archivePath, format, level, concurrency, ...packing });
            await extractArchive({ archivePath, root: target, concurrency, ...unpacking });
            expect(await describeAll(target, entries)).toEqual(await describeAll(source, entries));
            expect((await selectFiles({ root: target, paths: ["."] })).entries.map(({ path }) => path)).toEqual(
              entries.map(({ path }) => path),
            );
            // What is there already is replaced, to the same result.
            await extractArchive({ archivePath, root: target, concurrency, ...unpacking });
            expect(await describeAll(target, entries)).toEqual(await describeAll(source, entries));
          },
        ),
        { numRuns: 40 },
      );
    },
  );

  it("gives back any name as bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const path = pathFromBytes(bytes);
        expect(pathToBytes(path)).toEqual(Buffer.from(bytes));
        expect(printablePath(path)).toSatisfy((text: string) => text.isWellFormed() && !/\p{Cc}/u.test(text));
      }),
    );
  });

  it("leaves every name that is UTF-8 as it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(pathFromBytes(Buffer.from(text))).toBe(text);
      }),
    );
  });
});

async function build(place: string, node: Node): Promise<void> {
  const path = toFileSystemPath(place);
  if (node.kind === "symlink") {
    await symlink(Buffer.from(node.target), path);
  } else if (node.kind === "file") {
    await writeFile(path, node.content);
    await chmod(path, node.mode | 0o400);
  } else {
    await mkdir(path);
    for (const [child, inner] of node.children) await build(`${place}/${child}`, inner);
    await chmod(path, node.mode);
  }
  // Only root may do this; as anybody else all files belong to one owner, which is a test, too.
  if (process.getuid?.() === 0) await lchown(path, node.mtime % 1000, node.mtime % 999);
  await lutimes(path, node.mtime, node.mtime);
}

async function describeAll(root: string, entries: readonly { readonly path: string }[]): Promise<unknown[]> {
  return await Promise.all(
    entries.map(async (entry) => {
      const path = toFileSystemPath(`${root}/${entry.path}`);
      const stats = await lstat(path);
      const facts = { path: entry.path, uid: stats.uid, gid: stats.gid, mode: stats.mode, mtimeMs: stats.mtimeMs };
      if (stats.isSymbolicLink()) return { ...facts, target: await readlink(path, { encoding: "buffer" }) };
      return stats.isFile() ? { ...facts, content: await readFile(path) } : facts;
    }),
  );
}
