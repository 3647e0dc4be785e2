import { setImmediate as turn } from "node:timers/promises";
import { isTag } from "../reference/grammar.ts";

/** The tags of a name, which may be more than a million. */
export interface TagList {
  /** Sorted by bytes, without duplicates. */
  readonly tags: readonly string[];
  /** All of them as a JSON array, in pieces. */
  readonly json: readonly Buffer[];
}

/** Makes a list of what an upstream calls tags, some at a time; others have their turn meanwhile. */
export async function tagListOf(entries: readonly unknown[]): Promise<TagList> {
  const tags = await sortedInSteps(entries.filter((tag): tag is string => typeof tag === "string" && isTag(tag)));
  return { tags, json: await jsonOf(tags) };
}

/** Writes texts as a JSON array, in pieces. */
export async function jsonOf(list: readonly string[]): Promise<readonly Buffer[]> {
  const pieces: Buffer[] = [];
  for (let start = 0; start === 0 || start < list.length; start += atOnce) {
    if (start > 0) await turn();
    const text = JSON.stringify(list.slice(start, start + atOnce)).slice(1, -1);
    pieces.push(Buffer.from(`${start === 0 ? "[" : ","}${text}${start + atOnce < list.length ? "" : "]"}`));
  }
  return pieces;
}

/** They are ASCII, so that texts compare like their bytes. */
async function sortedInSteps(list: readonly string[]): Promise<readonly string[]> {
  let runs: string[][] = [];
  for (let start = 0; start < list.length; start += atOnce) {
    if (start > 0) await turn();
    runs.push([...new Set(list.slice(start, start + atOnce))].sort());
  }
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let index = 0; index < runs.length; index += 2)
      merged.push(await mergedInSteps(runs[index] ?? [], runs[index + 1] ?? []));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function mergedInSteps(one: readonly string[], other: readonly string[]): Promise<string[]> {
  const merged: string[] = [];
  let [inOne, inOther] = [0, 0];
  for (;;) {
    const [left, right] = [one[inOne], other[inOther]];
    if (left === undefined && right === undefined) return merged;
    const takesLeft = right === undefined || (left !== undefined && left <= right);
    const takesRight = left === undefined || (right !== undefined && right <= left);
    if (takesLeft) inOne += 1;
    if (takesRight) inOther += 1;
    const next = takesLeft ? left : right;
    if (next !== undefined) merged.push(next);
    if (merged.length % atOnce === 0) await turn();
  }
}

/** Takes a few milliseconds. */
const atOnce = 5000;
