import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { compileAssembly, sourceStamp } from "./compile.ts";

const SUM = "export function sum(a: i32, b: i32): i32 { return a + b; }";

it("compiles the same source to the same bytes", async () => {
  const first = await compileAssembly("sum.ts", SUM);
  expect(Buffer.from(first).subarray(0, 4)).toEqual(Buffer.from("\0asm"));
  expect(await compileAssembly("sum.ts", SUM)).toEqual(first);
});

it("says what is wrong with a source", async () => {
  await expect(compileAssembly("sum.ts", "export function sum(a: i32): i32 { return b; }")).rejects.toThrow("'b'");
});

it("stamps different sources differently", () => {
  expect(sourceStamp(SUM)).not.toBe(sourceStamp(`${SUM} `));
});

it.each(["deflate", "inflate"])("finds %s compiled from what its source is now", async (name) => {
  const folder = new URL("../../../packages/deflate/", import.meta.url);
  const source = await readFile(new URL(`assembly/${name}.ts`, folder), "utf8");
  const compiled = await readFile(new URL(`src/compiled/${name}.ts`, folder), "utf8");
  expect(compiled, "run pnpm install").toMatch(`// ${sourceStamp(source)}\n`);
});
