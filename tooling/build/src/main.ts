// Builds the package of the working directory: each entry of its package.json becomes one file of `dist`, and so does each module that is
// loaded on demand. Loading one file takes a fraction of the time of fifty, and a short job feels every one of them. Types come from tsc.

import { readFile, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { build } from "rolldown";
import type { OutputOptions } from "rolldown";
import { chunkOf } from "./chunks.ts";
import { entriesOf, isThread } from "./entries.ts";
import type { Manifest } from "./entries.ts";

const directory = process.cwd();
const manifest = JSON.parse(await readFile(resolve(directory, "package.json"), "utf8")) as Manifest;
const entries = Object.entries(entriesOf(manifest));
await rm(resolve(directory, "dist"), { recursive: true, force: true });
await bundle(
  entries.filter(([name]) => !isThread(name)),
  // What a command of a program needs is its own.
  manifest.bin === undefined ? { codeSplitting: { groups: [chunkGroup("base", 2), chunkGroup("shared", 1)] } } : {},
);
for (const thread of entries.filter(([name]) => isThread(name))) {
  // A thread starts with nothing loaded, so that what it shares with others would only be more files.
  await bundle([thread], { chunkFileNames: `${thread[0]}-[name].js` });
}

async function bundle(
  input: readonly (readonly [name: string, source: string])[],
  output: OutputOptions,
): Promise<void> {
  await build({
    cwd: directory,
    input: Object.fromEntries(input),
    platform: "node",
    // The oldest Node that packages run on knows less syntax than the one that runs the sources.
    transform: { target: "node22.19" },
    // Other packages stay what they are: dependencies, which npm installs once for all who need them.
    external: (id) => !id.startsWith(".") && !id.startsWith("/") && !id.startsWith("@oxc-project/runtime/"),
    output: { dir: "dist", format: "esm", entryFileNames: "[name].js", chunkFileNames: "[name].js", ...output },
    logLevel: "warn",
  });
}

type ChunkGroup = NonNullable<Extract<OutputOptions["codeSplitting"], object>["groups"]>[number];

function chunkGroup(name: string, priority: number): ChunkGroup {
  return {
    name: (id, context) => (chunkOf(id, (module) => context.getModuleInfo(module) ?? undefined) === name ? name : null),
    debugName: name,
    priority,
  };
}
