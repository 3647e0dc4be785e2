import { createCipheriv, createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { copyFile, lstat, lutimes, mkdir, open, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { repositoryRoot, run } from "../process.ts";

/** A tree to archive. */
export interface DataSet {
  readonly name: SetName;
  /** Absolute path of the folder that is archived. */
  readonly root: string;
}

/** What each set must hold; a benchmark of something else would be compared with the wrong figures. */
const expected = {
  modules: { others: 49_958, bytes: 792_822_855 },
  binaries: { others: 3_080, bytes: 700_464_460 },
  text: { others: 1, bytes: 2 ** 30 },
  random: { others: 1, bytes: 500_000_000 },
  tiny: { others: 11_000, bytes: 10_046_869 },
} as const;

export type SetName = keyof typeof expected;
export const setNames: readonly SetName[] = Object.keys(expected) as SetName[];

const data = join(repositoryRoot, "bench/.data/cache-archive");
/** Of everything in a set, so that the same archive comes out every time. */
const MTIME_S = 1_700_000_000;

/** Makes a set on first need, and refuses one that differs from what the figures were measured with. */
export async function requireDataSet(name: SetName): Promise<DataSet> {
  const folder = join(
    data,
    `${name}-${createHash("sha256")
      .update(await recipeOf(name))
      .digest("hex")
      .slice(0, 12)}`,
  );
  const root = join(folder, isInstalled(name) ? "node_modules" : "tree");
  const complete = join(folder, "complete");
  if ((await lstat(complete).catch(() => undefined)) === undefined) {
    console.log(`Making the data set ${name}`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await makers[name](folder, root);
    await setTimes(root);
  }
  await check(name, root);
  await writeFile(complete, "");
  return { name, root };
}

type InstalledSet = "modules" | "binaries";

function isInstalled(name: SetName): name is InstalledSet {
  return name === "modules" || name === "binaries";
}

/** What a set is made from; another one is another set. */
async function recipeOf(name: SetName): Promise<string> {
  if (isInstalled(name)) return (await Promise.all(recipeFiles(name).map((file) => readFile(file, "utf8")))).join("");
  return name === "text" ? `text 1 ${await recipeOf("modules")}` : `${name} 1`;
}

/** The lock file names every package with the digest of its content, and no address. */
function recipeFiles(name: InstalledSet): readonly [manifest: string, lock: string] {
  const folder = join(repositoryRoot, "bench/cache-archive", name);
  return [join(folder, "package.json"), join(folder, "package-lock.json")];
}

const makers: Readonly<Record<SetName, (folder: string, root: string) => Promise<void>>> = {
  modules: async (folder) => await install("modules", folder, []),
  // The platform check is off: the set is made of programs for other systems.
  binaries: async (folder) => await install("binaries", folder, ["--force"]),
  text: makeText,
  random: async (_folder, root) => {
    await mkdir(root);
    const file = await open(join(root, "random"), "w");
    for (let left = 500_000_000, stream = keyStream(); left > 0; left -= 1_000_000)
      await file.write(stream.update(ZEROS));
    await file.close();
  },
  tiny: makeTiny,
};

const ZEROS = Buffer.alloc(1_000_000);

function keyStream(): ReturnType<typeof createCipheriv> {
  return createCipheriv("aes-256-ctr", Buffer.alloc(32), Buffer.alloc(16));
}

async function install(name: InstalledSet, folder: string, options: readonly string[]): Promise<void> {
  const [manifest, lock] = recipeFiles(name);
  const copy = join(folder, "package-lock.json");
  await copyFile(manifest, join(folder, "package.json"));
  await copyFile(lock, copy);
  // Not `npm ci`: it refuses a lock file without the packages for other systems that no registry may serve.
  await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...options], { cwd: folder });
  if ((await readFile(copy, "utf8")) === (await readFile(lock, "utf8"))) return;
  throw new Error(`npm installed something else than ${lock} says; what it chose is in ${copy}`);
}

async function makeText(_folder: string, root: string): Promise<void> {
  const modules = await requireDataSet("modules");
  const names = await readdir(modules.root, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile() && /\.(?:js|cjs|mjs|ts|json|map|md)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  await mkdir(root);
  await pipeline(
    async function* () {
      for (let left = 2 ** 30; ;) {
        for (const file of files) {
          const content = (await readFile(file)).subarray(0, left);
          left -= content.length;
          yield content;
          if (left === 0) return;
        }
      }
    },
    createWriteStream(join(root, "text")),
  );
}

async function makeTiny(_folder: string, root: string): Promise<void> {
  const modules = await requireDataSet("modules");
  const words = (await readFile(join(modules.root, "lodash/lodash.js"), "utf8")).match(/\w+/g) ?? [];
  const stream = keyStream();
  const number = (): number => stream.update(Buffer.alloc(4)).readUInt32LE(0);
  for (let folder = 0; folder < 100; folder += 1) {
    const place = join(root, `d${folder}/src`);
    await mkdir(place, { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      const length = 200 + (number() % 1600);
      let content = "";
      while (content.length < length) content += `${words[number() % words.length]} `;
      await writeFile(join(place, `f${file}.txt`), content.slice(0, length));
    }
    for (let link = 0; link < 10; link += 1) {
      await symlink(link % 2 === 0 ? `f${link}.txt` : `../../d${(folder + 1) % 100}/src`, join(place, `l${link}`));
    }
  }
}

async function setTimes(root: string): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    await lutimes(join(entry.parentPath, entry.name), MTIME_S, MTIME_S);
  }
  await lutimes(root, MTIME_S, MTIME_S);
}

async function check(name: SetName, root: string): Promise<void> {
  let others = 0;
  let bytes = 0;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    others += 1;
    if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size;
  }
  const wanted = expected[name];
  if (others === wanted.others && bytes === wanted.bytes) return;
  throw new Error(
    `the data set ${name} has ${others} entries and ${bytes} bytes, not ${wanted.others} and ${wanted.bytes}`,
  );
}
