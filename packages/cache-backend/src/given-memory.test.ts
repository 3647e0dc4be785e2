import { describe, expect, it } from "vitest";
import { freeMemory, giveMemory } from "./given-memory.ts";

describe("the memory of a chunk", () => {
  it("is freed when it was given", () => {
    const chunk = new Uint8Array(1000);
    giveMemory(chunk);
    freeMemory(chunk);
    expect(chunk.byteLength).toBe(0);
  });

  it("stays when nobody gave it", () => {
    const chunk = new Uint8Array(1000).fill(1);
    freeMemory(chunk);
    expect(chunk.byteLength).toBe(1000);
  });

  it("goes back to who wants it back, once", () => {
    const memory = new Uint8Array(1000);
    const chunk = memory.subarray(0, 600);
    let times = 0;
    giveMemory(chunk, () => (times += 1));
    freeMemory(memory);
    freeMemory(chunk);
    freeMemory(chunk);
    expect(times).toBe(1);
  });

  it("stays when others have a part of it", () => {
    const chunk = new Uint8Array(new ArrayBuffer(1000), 0, 600);
    giveMemory(chunk);
    freeMemory(chunk);
    expect(chunk.byteLength).toBe(600);
  });
});
