import { describe, expect, it } from "vitest";
import { chunkOf } from "./chunks.ts";
import type { ModuleFacts } from "./chunks.ts";

const modules: Readonly<Record<string, ModuleFacts>> = {
  index: { isEntry: true, importers: [], dynamicImporters: [] },
  "index only": { isEntry: false, importers: ["index"], dynamicImporters: [] },
  errors: { isEntry: false, importers: ["index only", "pack", "both"], dynamicImporters: [] },
  pack: { isEntry: false, importers: [], dynamicImporters: ["index"] },
  "pack only": { isEntry: false, importers: ["pack"], dynamicImporters: [] },
  unpack: { isEntry: false, importers: [], dynamicImporters: ["index only"] },
  both: { isEntry: false, importers: ["pack only", "unpack"], dynamicImporters: [] },
  "also packs": { isEntry: false, importers: ["pack"], dynamicImporters: ["unpack"] },
  // As a bundler may tell of what is loaded on demand.
  "loaded entry": { isEntry: true, importers: [], dynamicImporters: ["index"] },
};

describe("the file that a module of a library lies in", () => {
  it.each([
    ["index", undefined],
    ["index only", undefined],
    ["errors", "base"],
    ["pack", undefined],
    ["pack only", undefined],
    ["unpack", undefined],
    ["both", "shared"],
    ["also packs", "shared"],
    ["loaded entry", undefined],
    ["not a module of the package", undefined],
  ])("of %s is %s", (id, file) => {
    expect(chunkOf(id, (module) => modules[module])).toBe(file);
  });

  it("is found where modules import each other", () => {
    const circle: Readonly<Record<string, ModuleFacts>> = {
      one: { isEntry: false, importers: ["other"], dynamicImporters: [] },
      other: { isEntry: false, importers: ["one", "pack", "unpack"], dynamicImporters: [] },
      pack: { isEntry: false, importers: [], dynamicImporters: ["index"] },
      unpack: { isEntry: false, importers: [], dynamicImporters: ["index"] },
    };
    expect(chunkOf("one", (module) => circle[module])).toBe("shared");
  });
});
