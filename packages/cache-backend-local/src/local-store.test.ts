import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bodyOf, describeCacheStore, killUploads, readBytes, readText } from "@fleetfoot/cache-backend/testing";
import { filePathOf } from "./file-names.ts";
import { hostFileSystem } from "./file-system.ts";
import { createLocalStore } from "./local-store.ts";

const run = promisify(execFile);
/** Each takes a second, so many of them are for those who ask for them. */
const kills = Number(process.env["FLEETFOOT_KILLS"] ?? 10);

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "local-store-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const abilities = ["conditional", "delete", "list", "ranges"] as const;
for (const synchronous of [false, true]) {
  describeCacheStore(`the local store${synchronous ? " that waits for the disk" : ""}`, {
    abilities,
    async open() {
      const own = await mkdtemp(join(directory, "store-"));
      const store = createLocalStore({ directory: join(own, "objects"), synchronous });
      const close = async (): Promise<void> => expect(await leftovers(own)).toEqual([]);
      return { store, close };
    },
  });
}

describe("the local store", () => {
  it("keeps one file per object, which begins with the body, in directories for its owner alone", async () => {
    const store = createLocalStore({ directory: join(directory, "new") });
    await store.put("project/42/gems", bodyOf("the body"), { metadata: { cachekey: "gems" } });
    const path = join(directory, "new/project/42/gems~object");
    const text = await readFile(path, "utf8");
    expect(text.startsWith("the body{")).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, "new"))).mode & 0o777).toBe(0o700);
  });

  it("tells the time of the put, whatever happens to the file's own times", async () => {
    const store = createLocalStore({ directory, now: () => 5000 });
    await store.put("name", bodyOf("x"));
    await utimes(filePathOf(directory, "name"), 1, 1);
    expect((await store.head("name"))?.modifiedAtMs).toBe(5000);
  });

  it("reads the object that was there when it was opened, although it is replaced or deleted meanwhile", async () => {
    const store = createLocalStore({ directory });
    const old = new Uint8Array(2_000_000).fill(1);
    await store.put("name", bodyOf(old));
    const [first, second] = [await store.get("name"), await store.get("name")];
    await store.put("name", bodyOf("new"));
    expect(Buffer.compare((await readBytes(first)) ?? new Uint8Array(), old)).toBe(0);
    await store.delete("name");
    expect(Buffer.compare((await readBytes(second)) ?? new Uint8Array(), old)).toBe(0);
  });

  it.each([0, 1, 5, 11, 12, 40])(
    "takes a file that a crash left without its last %i bytes for absent",
    async (bytes) => {
      const store = createLocalStore({ directory });
      await store.put("name", bodyOf("content"));
      const path = filePathOf(directory, "name");
      const { size } = await stat(path);
      await truncate(path, bytes === 0 ? 0 : size - bytes);
      expect(await store.head("name")).toBeUndefined();
      expect(await store.get("name")).toBeUndefined();
      expect(await store.putIf("name", bodyOf("whole"), { absent: true })).toBeDefined();
      expect(await readText(await store.get("name"))).toBe("whole");
    },
  );

  it("takes a file whose trailer was lost, but not its mark, for absent", async () => {
    const store = createLocalStore({ directory });
    await store.put("name", bodyOf("content"));
    const path = filePathOf(directory, "name");
    const bytes = await readFile(path);
    await writeFile(path, bytes.fill(0, 7, bytes.byteLength - 12));
    expect(await store.head("name")).toBeUndefined();
  });

  it("takes an object of another name, as a file system without regard to case finds it, for absent", async () => {
    const store = createLocalStore({ directory });
    await store.put("name", bodyOf("x"));
    await hostFileSystem.rename(filePathOf(directory, "name"), filePathOf(directory, "NAME"));
    expect(await store.head("NAME")).toBeUndefined();
    expect(await store.delete("NAME")).toBe(false);
  });

  it("keeps more metadata than one read finds", async () => {
    const store = createLocalStore({ directory });
    const metadata = { long: "x".repeat(100_000), other: "ä \u{1F600}" };
    await store.put("name", bodyOf("content"), { metadata });
    const object = await store.get("name");
    expect([object?.facts.metadata, await readText(object)]).toEqual([metadata, "content"]);
  });

  it("closes the files of bodies that nobody reads", async () => {
    const store = createLocalStore({ directory });
    await store.put("name", bodyOf(new Uint8Array(1_000_000)));
    const before = await openFiles();
    for (let round = 0; round < 20; round += 1) await (await store.get("name"))?.body.cancel();
    const abort = new AbortController();
    await store.get("name", { signal: abort.signal });
    abort.abort();
    await expect.poll(openFiles).toBeLessThanOrEqual(before);
  });

  it("refuses a directory that is not absolute", () => {
    expect(() => createLocalStore({ directory: "cache" })).toThrow(TypeError);
  });

  it("says what is wrong with the directory, and with a disk that is full", async () => {
    await writeFile(join(directory, "file"), "");
    const inFile = createLocalStore({ directory: join(directory, "file") });
    await expect(inFile.put("name", bodyOf("x"))).rejects.toMatchObject({
      code: "rejected",
      retryable: false,
      message: expect.stringContaining(join(directory, "file")),
    });
    const store = createLocalStore({ directory, fileSystem: { ...hostFileSystem, rename: failing("ENOSPC") } });
    await expect(store.put("name", bodyOf("x"))).rejects.toMatchObject({ code: "no-space", retryable: false });
    expect(await leftovers(directory)).toEqual([]);
  });

  it("says that nothing can be written, where Node says that a directory is absent", async () => {
    const readOnly = async (path: string, options?: { readonly recursive?: boolean }): Promise<undefined> => {
      if (path === directory) return;
      const code = options?.recursive === true ? "ENOENT" : "EROFS";
      throw Object.assign(new Error(`${code}: mkdir`), { code, syscall: "mkdir" });
    };
    const fileSystem = { ...hostFileSystem, mkdir: readOnly as typeof mkdir };
    const store = createLocalStore({ directory, fileSystem });
    await expect(store.put("dir/name", bodyOf("x"))).rejects.toMatchObject({
      code: "access-denied",
      serviceCode: "EROFS",
      retryable: false,
    });
  });

  it("says so when it may not read, unless nothing is forbidden to this user", async () => {
    const store = createLocalStore({ directory });
    await store.put("name", bodyOf("x"));
    await chmod(filePathOf(directory, "name"), 0);
    const head = store.head("name");
    if (process.getuid?.() === 0) expect(await head).toMatchObject({ bytes: 1 });
    else await expect(head).rejects.toMatchObject({ code: "access-denied" });
  });

  it("never follows a name out of its directory, however it is spelled", async () => {
    const store = createLocalStore({ directory: join(directory, "store") });
    await writeFile(join(directory, `outside~object`), "secret");
    for (const name of ["../outside", "a/../../outside", "/outside", "..\\outside"]) {
      await expect(store.get(name)).rejects.toMatchObject({ code: "invalid-name" });
      await expect(store.put(name, bodyOf("x"))).rejects.toMatchObject({ code: "invalid-name" });
    }
    await store.put("%2e%2e/outside", bodyOf("x"));
    expect(await readFile(join(directory, "outside~object"), "utf8")).toBe("secret");
  });

  it("lists no file that is not an object of its own", async () => {
    const store = createLocalStore({ directory });
    await store.put("a", bodyOf("x"));
    await writeFile(join(directory, "README"), "not an object");
    await writeFile(join(directory, "broken~object"), "not whole");
    await mkdir(join(directory, "dir~object"));
    await symlink(filePathOf(directory, "a"), join(directory, "link~object"));
    const names: string[] = [];
    for await (const { name } of store.list("")) names.push(name);
    expect(names).toEqual(["a"]);
  });

  it("takes over a claim that was abandoned, and waits for one that was not", async () => {
    let now = Date.now();
    const sleeps: number[] = [];
    const sleep = async (milliseconds: number): Promise<void> => {
      sleeps.push(milliseconds);
      if (sleeps.length === 3) now += 60_000;
    };
    const store = createLocalStore({ directory, now: () => now, sleep });
    const { version } = await store.put("name", bodyOf("old"));
    await writeFile(join(directory, "~claim-name~object"), "");
    expect(await store.putIf("name", bodyOf("new"), { version })).toMatchObject({ bytes: 3 });
    expect(sleeps).toEqual([10, 10, 10, 10]);
    expect(await leftovers(directory)).toEqual([]);
  });

  it("puts where there is nothing on a file system without hard links, too", async () => {
    const store = createLocalStore({ directory, fileSystem: { ...hostFileSystem, link: failing("EPERM") } });
    expect(await store.putIf("name", bodyOf("first"), { absent: true })).toBeDefined();
    expect(await store.putIf("name", bodyOf("second"), { absent: true })).toBeUndefined();
    expect(await readText(await store.get("name"))).toBe("first");
    expect(await leftovers(directory)).toEqual([]);
  });
});

describe("the local store on a directory that several use", () => {
  it("CA G14, CA H18: gives whole bodies while two processes put and get one name, and leaves no temporary file", async () => {
    const results = await Promise.all([1, 2].map((seed) => hammer(seed)));
    for (const { gets, torn } of results) {
      expect(gets).toBeGreaterThan(0);
      expect(torn).toEqual([]);
    }
    expect(await leftovers(directory)).toEqual([]);
    expect((await readdir(directory)).filter((name) => name.includes("lock"))).toEqual([]);
  });

  it("lets exactly one of two processes replace each version", async () => {
    const results = await Promise.all([1, 2].map((seed) => count(seed)));
    expect(results.reduce((sum, won) => sum + won, 0)).toBe(200);
    const store = createLocalStore({ directory });
    expect(await readText(await store.get("counter"))).toBe("200");
    expect(await leftovers(directory)).toEqual([]);
  });

  it("shows nothing of a put whose process was killed", async () => {
    const store = createLocalStore({ directory });
    await store.put("name", bodyOf("old"));
    const child = spawn(process.execPath, script(stallingScript), { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    expect(await readText(await store.get("name"))).toBe("old");
    const names: string[] = [];
    for await (const { name } of store.list("")) names.push(name);
    expect(names).toEqual(["name"]);
  });

  it("shows a whole object after each SIGKILL at a random moment of an upload", async () => {
    const source = JSON.stringify(new URL("local-store.ts", import.meta.url).href);
    const options = JSON.stringify({ directory });
    const module = `import { createLocalStore } from ${source}; const store = createLocalStore(${options});`;
    const { wholeObjects, broken } = await killUploads({ store: createLocalStore({ directory }), module, kills });
    expect(broken).toEqual([]);
    expect(wholeObjects).toBe(kills);
  }, 600_000);

  it("CA G14, CA H18: does not notice one ESTALE, and reports two in a row", async () => {
    for (const times of [1, 2]) {
      const stale = new StaleFileSystem();
      const store = createLocalStore({ directory, fileSystem: { ...hostFileSystem, open: stale.open } });
      const content = new Uint8Array(1_000_000).map((_, index) => index % 251);
      await store.put("name", bodyOf(content));

      stale.opens = times;
      if (times === 1) expect((await store.head("name"))?.bytes).toBe(content.byteLength);
      else await expect(store.head("name")).rejects.toMatchObject({ code: "unavailable", serviceCode: "ESTALE" });

      const object = await store.get("name");
      stale.reads = times;
      if (times === 1) expect(Buffer.compare((await readBytes(object)) ?? new Uint8Array(), content)).toBe(0);
      else await expect(readBytes(object)).rejects.toMatchObject({ code: "unavailable", serviceCode: "ESTALE" });
      expect(stale.reads).toBe(0);
    }
  });

  it("never goes on in another version after ESTALE", async () => {
    const stale = new StaleFileSystem();
    const store = createLocalStore({ directory, fileSystem: { ...hostFileSystem, open: stale.open } });
    await store.put("name", bodyOf(new Uint8Array(1_000_000).fill(1)));
    const object = await store.get("name");
    await store.put("name", bodyOf(new Uint8Array(1_000_000).fill(2)));
    stale.reads = 1;
    await expect(readBytes(object)).rejects.toMatchObject({ code: "object-changed", retryable: true });
  });
});

/** Answers the next opens, or reads of files that were opened here, with ESTALE. */
class StaleFileSystem {
  opens = 0;
  reads = 0;

  readonly open: typeof open = async (...facts) => {
    if (this.opens > 0) {
      this.opens -= 1;
      throw systemError("ESTALE");
    }
    const handle = await open(...facts);
    const read = handle.read.bind(handle) as (...facts: readonly unknown[]) => Promise<unknown>;
    const failingRead = async (...readFacts: readonly unknown[]): Promise<unknown> => {
      if (this.reads === 0) return read(...readFacts);
      this.reads -= 1;
      throw systemError("ESTALE");
    };
    return Object.assign(handle, { read: failingRead });
  };
}

function failing(code: string): () => Promise<never> {
  return () => Promise.reject(systemError(code));
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code, syscall: "test", errno: -1 });
}

/** Everything below a directory that is no object and no directory. */
async function leftovers(top: string): Promise<string[]> {
  const entries = await readdir(top, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name.startsWith("~")).map((entry) => entry.name);
}

async function openFiles(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}

function script(text: string, ...values: readonly string[]): string[] {
  const store = JSON.stringify(new URL("local-store.ts", import.meta.url).href);
  const head = `import { createLocalStore } from ${store}; const store = createLocalStore({ directory: process.argv[1] });`;
  return ["--conditions=@fleetfoot/source", "--input-type=module", "-e", head + text, directory, ...values];
}

async function hammer(seed: number): Promise<{ gets: number; torn: string[] }> {
  const { stdout } = await run(process.execPath, script(hammerScript, String(seed)));
  return JSON.parse(stdout) as { gets: number; torn: string[] };
}

describe("a delete of one version", () => {
  it.each([{ hasLinks: true }, { hasLinks: false }])(
    "leaves an object that is put after the version was looked at (hard links: $hasLinks)",
    async ({ hasLinks }) => {
      const plain = createLocalStore({ directory });
      const old = await plain.put("a", bodyOf("damaged"));
      const place = filePathOf(directory, "a");
      let renames = 0;
      const store = createLocalStore({
        directory,
        fileSystem: {
          ...hostFileSystem,
          rm: async (path, options) => {
            if (path === place) await plain.put("a", bodyOf("good"));
            await hostFileSystem.rm(path, options);
          },
          rename: async (from, to) => {
            renames += 1;
            if (from === place) await plain.put("a", bodyOf("good"));
            await hostFileSystem.rename(from, to);
          },
          link: async (from, to) => {
            if (!hasLinks) throw Object.assign(new Error("EPERM"), { code: "EPERM", syscall: "link" });
            await hostFileSystem.link(from, to);
          },
        },
      });
      expect(await store.delete("a", { ifVersion: old.version })).toBe(false);
      expect(renames).toBeGreaterThan(0);
      expect(await readText(await plain.get("a"))).toBe("good");
      expect(await readdir(dirname(place))).toEqual([basename(place)]);
    },
  );
});

async function count(seed: number): Promise<number> {
  const { stdout } = await run(process.execPath, script(countScript, String(seed)));
  return Number(stdout);
}

/** Each body is one byte again and again, and its length follows from that byte. */
const hammerScript = `
const seed = Number(process.argv[2]);
const lengthOf = (byte) => 100_000 + byte * 1000;
let gets = 0;
const torn = [];
const put = async (round) => {
  const byte = (seed * 100 + round) % 256;
  const bytes = lengthOf(byte);
  await store.put("dir/contended", { bytes, open: () => new Blob([new Uint8Array(bytes).fill(byte)]).stream() });
};
const get = async () => {
  const object = await store.get("dir/contended");
  if (object === undefined) return;
  const read = new Uint8Array(await new Response(object.body).arrayBuffer());
  gets += 1;
  if (read.byteLength !== lengthOf(read[0]) || read.some((byte) => byte !== read[0])) torn.push(object.facts.version);
};
for (let round = 0; round < 60; round += 1) await Promise.all([put(round), get(), get()]);
console.log(JSON.stringify({ gets, torn }));
`;

/** Counts to 200 together with another process; each step may be taken by one of them only. */
const countScript = `
const body = (text) => ({ bytes: text.length, open: () => new Blob([text]).stream() });
let won = 0;
while (true) {
  const object = await store.get("counter");
  const now = object === undefined ? 0 : Number(await new Response(object.body).text());
  if (now === 200) break;
  const condition = object === undefined ? { absent: true } : { version: object.facts.version };
  if ((await store.putIf("counter", body(String(now + 1)), condition)) !== undefined) won += 1;
}
console.log(won);
`;

const stallingScript = `
const open = () => new ReadableStream({
  start(controller) { controller.enqueue(new Uint8Array(1000)); },
  pull() { console.log("writing"); return new Promise(() => setInterval(() => {}, 1000)); },
}, { highWaterMark: 1 });
await store.put("name", { bytes: 5000, open });
`;
