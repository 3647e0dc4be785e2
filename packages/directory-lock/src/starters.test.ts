import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { acquireLock } from "./acquire-lock.ts";

const source = JSON.stringify(new URL("acquire-lock.ts", import.meta.url).href);
const deadProcess = 999_999_999;

const starter = `
const { acquireLock } = await import(${source});
let lock;
process.on("message", async (path) => {
  if (path === "release") {
    await lock?.release();
    lock = undefined;
    process.send("released");
    return;
  }
  lock = await acquireLock(path).catch((error) => void process.send(error.code ?? error.message));
  if (lock !== undefined) process.send("taken");
});
process.send("ready");
`;

/** Is killed before, or after, one of the calls that it makes of the file system. */
const doomed = `
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
const [path, when, number] = process.argv.slice(1);
let calls = 0;
const dieAt = (moment) => {
  if (moment === when && calls === Number(number)) process.kill(process.pid, "SIGKILL");
};
const wrap = (object, name) => {
  const original = object[name];
  object[name] = async function (...values) {
    calls += 1;
    dieAt("before");
    try {
      return await original.apply(this, values);
    } finally {
      dieAt("after");
    }
  };
};
const any = await fs.open("/dev/null");
for (const name of ["writeFile", "utimes", "close"]) wrap(Object.getPrototypeOf(any), name);
for (const name of ["open", "link", "rename", "rm", "unlink", "opendir"]) wrap(fs, name);
syncBuiltinESMExports();
const { acquireLock } = await import(${source});
calls = 0;
await (await acquireLock(path)).release();
process.stdout.write("released");
`;

describe("many processes that want a lock", () => {
  let directory: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lock-"));
  });

  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "close");
    }
    await rm(directory, { recursive: true, force: true });
  });

  async function startStarter(): Promise<ChildProcess> {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", starter], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    children.push(child);
    expect(await answerOf(child)).toBe("ready");
    return child;
  }

  async function answerOf(child: ChildProcess): Promise<unknown> {
    const [answer] = (await once(child, "message")) as [unknown];
    return answer;
  }

  it("goes to exactly one of them, over 200 times a dead process's lock that another dead one was taking over", async () => {
    const starters = await Promise.all(Array.from({ length: 8 }, startStarter));
    const ask = (message: string): Promise<readonly unknown[]> =>
      Promise.all(
        starters.map(async (child) => {
          const answer = answerOf(child);
          child.send(message);
          return answer;
        }),
      );
    for (let round = 0; round < 200; round += 1) {
      const folder = join(directory, String(round));
      const path = join(folder, "lock");
      await mkdir(folder);
      await writeFile(path, `${deadProcess} 1\n`);
      await writeFile(`${path}.takeover`, `${deadProcess} 2\n`);
      const answers = await ask(path);
      expect(answers.filter((answer) => answer === "taken").length, answers.join()).toBe(1);
      expect(answers.filter((answer) => answer === "lock-held").length, answers.join()).toBe(7);
      expect(await readdir(folder), String(round)).toEqual(["lock"]);
      await ask("release");
      expect(await readdir(folder), String(round)).toEqual([]);
    }
  }, 120_000);

  it.each(["before", "after"])(
    "leaves nothing in the way of the next, and nothing lying about, when it is killed %s any of its calls",
    async (when) => {
      let isKilled = true;
      for (let call = 1; isKilled; call += 1) {
        const folder = join(directory, String(call));
        const path = join(folder, "lock");
        await mkdir(folder);
        await writeFile(path, `${deadProcess} 1\n`);
        // The second one finds what the first one leaves, in the middle of taking over.
        for (let time = 0; time < 2; time += 1) {
          const child = spawn(process.execPath, ["--input-type=module", "--eval", doomed, path, when, String(call)], {
            stdio: ["ignore", "ignore", "inherit"],
          });
          const [code, signal] = (await once(child, "close")) as [number | null, string | null];
          isKilled = signal === "SIGKILL";
          if (!isKilled) expect(code).toBe(0);
        }
        const lock = await acquireLock(path);
        expect(await readdir(folder), `${when} call ${call}`).toEqual(["lock"]);
        await lock.release();
        expect(await readdir(folder), `${when} call ${call}`).toEqual([]);
        expect(isKilled || call > 8).toBe(true);
      }
    },
    120_000,
  );
});
