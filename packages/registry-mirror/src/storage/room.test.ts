import { beforeEach, describe, expect, it } from "vitest";
import { Room } from "./room.ts";

describe("room for blobs", () => {
  let stored: { readonly name: string; readonly bytes: number }[];
  let abandoned: number[];
  let freeBytes: number;
  let removed: string[];
  let room: Room;

  beforeEach(() => {
    stored = [];
    abandoned = [];
    freeBytes = 1000;
    removed = [];
    room = new Room({
      mostBytes: 100,
      storedBytes: () => stored.reduce((sum, { bytes }) => sum + bytes, 0),
      evictableBytes: () => stored.reduce((sum, { bytes }) => sum + bytes, 0),
      evictable: () =>
        stored.map((blob) => ({
          bytes: blob.bytes,
          remove: async () => {
            stored = stored.filter((other) => other !== blob);
            freeBytes += blob.bytes;
            removed.push(blob.name);
          },
        })),
      freeBytes: async () => freeBytes,
    });
    room.sacrificeFirst({
      get bytes() {
        return abandoned.reduce((sum, bytes) => sum + bytes, 0);
      },
      dropOldest: async () => {
        const bytes = abandoned.shift();
        freeBytes += bytes ?? 0;
        if (bytes !== undefined) removed.push("abandoned");
        return bytes !== undefined;
      },
    });
  });

  it("counts what is still being written", async () => {
    stored = [{ name: "old", bytes: 30 }];
    const first = room.reserve();
    expect(await first.extendTo(60)).toBe(true);
    expect(await room.reserve().extendTo(50)).toBe(false);
    expect(removed).toEqual([]);
    expect(await room.reserve().extendTo(30)).toBe(true);
    expect(removed).toEqual(["old"]);
    first.release();
    expect(await room.reserve().extendTo(70)).toBe(true);
    expect(await room.reserve().extendTo(1)).toBe(false);
  });

  it("removes little for what needs little, also where most of the room is reserved", async () => {
    stored = Array.from({ length: 10 }, (_, index) => ({ name: `blob ${index}`, bytes: 4 }));
    expect(await room.reserve().extendTo(92)).toBe(true);
    expect(removed).toHaveLength(9);
    stored = Array.from({ length: 8 }, (_, index) => ({ name: `small ${index}`, bytes: 1 }));
    removed = [];
    expect(await room.reserve().extendTo(2)).toBe(true);
    expect(removed).toEqual(["small 0", "small 1", "small 2"]);
  });

  it("gives others what will not be written after all", async () => {
    const stopped = room.reserve();
    expect(await stopped.extendTo(90)).toBe(true);
    stopped.writtenBytes = 20;
    stopped.shrinkTo(20);
    expect(await room.reserve().extendTo(80)).toBe(true);
    stopped.shrinkTo(50);
    expect(await room.reserve().extendTo(1)).toBe(false);
  });

  it("drops what was given up before anything that is whole, and the oldest of it first", async () => {
    stored = [{ name: "old", bytes: 40 }];
    abandoned = [10, 20, 20];
    expect(await room.reserve().extendTo(35)).toBe(true);
    expect([removed, abandoned]).toEqual([["abandoned", "abandoned"], [20]]);
    expect(await room.reserve().extendTo(20)).toBe(true);
    expect(removed).toEqual(["abandoned", "abandoned", "abandoned"]);
    expect(await room.reserve().extendTo(20)).toBe(true);
    expect(removed.at(-1)).toBe("old");
  });

  it("removes nothing for what does not fit even so", async () => {
    stored = [{ name: "old", bytes: 50 }];
    abandoned = [20];
    expect(await room.reserve().extendTo(101)).toBe(false);
    expect([stored.length, abandoned]).toEqual([1, [20]]);
    stored = [{ name: "old", bytes: 5 }];
    abandoned = [];
    freeBytes = 10;
    expect(await room.reserve().extendTo(90)).toBe(false);
    expect(stored).toHaveLength(1);
  });

  it("leaves free on the disk what others are still going to write", async () => {
    freeBytes = 50;
    const first = room.reserve();
    expect(await first.extendTo(40)).toBe(true);
    expect(await room.reserve().extendTo(20)).toBe(false);
    first.writtenBytes = 40;
    freeBytes = 10;
    expect(await room.reserve().extendTo(10)).toBe(true);
    expect(await room.reserve().extendTo(1)).toBe(false);
  });

  it("makes room for what grows, and goes back to what it was where there is none", async () => {
    const growing = room.reserve(10);
    for (const bytes of [20, 60, 100]) expect(await growing.extendTo(bytes)).toBe(true);
    expect(await growing.extendTo(101)).toBe(false);
    expect(await growing.extendTo(90)).toBe(true);
    growing.release();
    expect(await room.reserve().extendTo(100)).toBe(true);
  });
});
