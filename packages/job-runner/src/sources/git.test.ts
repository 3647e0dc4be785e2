import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";

import { sleep } from "@fleetfoot/coordinator-client/retry";
import { describe, expect, it } from "vitest";

import type { Spawn } from "../platform.ts";
import { openGit } from "./git.ts";
import type { GitOptions } from "./git.ts";

describe("git", () => {
  it("gives all that 50 short commands print that run at once", async () => {
    const outputs = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const output = collector();
        await openGit({ ...options, stdout: output }).run(["version"]);
        return output.text();
      }),
    );
    expect(outputs.filter((text) => !/^git version \d+\.\d+.*\n$/.test(text))).toEqual([]);
  });

  it("listens from the turn in which git starts, as a short one may have ended in the next", async () => {
    const listeners: number[] = [];
    const watched: Spawn = (...args) => {
      const child = spawn(...args);
      queueMicrotask(() =>
        listeners.push(...[child.stdout, child.stderr].map((pipe) => pipe?.listenerCount("readable") ?? 0)),
      );
      return child;
    };
    await openGit({ ...options, spawn: watched }).run(["version"]);
    expect(listeners).toEqual([1, 1]);
  });

  it("loses nothing that was printed before the end, however slowly the log takes it", async () => {
    const ended = Promise.withResolvers<void>();
    const slow = collector(async () => {
      await ended.promise;
      for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    });
    const git = openGit({
      ...options,
      stdout: slow,
      spawn: (...args) => insteadOfGit("head -c 60000 /dev/zero")(...args).once("exit", () => ended.resolve()),
      sleep: () => setImmediate(),
    });
    await git.run(["fetch"]);
    expect(slow.text()).toHaveLength(60_000);
  });

  it.each([
    { ends: "kill -KILL $$", text: "signal: SIGKILL", exitCode: -1 },
    { ends: "kill -TERM $$", text: "signal: SIGTERM", exitCode: -1 },
    { ends: "exit 128", text: "exit status 128", exitCode: 128 },
  ])("words the end `$ends` as a script's: $text", async ({ ends, text, exitCode }) => {
    const git = openGit({ ...options, spawn: insteadOfGit(ends) });
    await expect(git.run(["-c", "a.b=c", "fetch"])).rejects.toMatchObject({ message: `git fetch: ${text}`, exitCode });
  });
});

const options: GitOptions = {
  directory: tmpdir(),
  environment: process.env,
  stdout: collector(),
  stderr: collector(),
  log: { flush: async () => undefined } as GitOptions["log"],
  signal: new AbortController().signal,
  spawn,
  sleep,
};

/** A real process that ends as git may. */
function insteadOfGit(script: string): Spawn {
  return (_command, _args, settings) => spawn("sh", ["-c", script], settings);
}

function collector(pause: () => Promise<void> = async () => undefined): Writable & { text(): string } {
  const pieces: Buffer[] = [];
  const stream = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      void pause().then(() => {
        pieces.push(piece);
        done();
      });
    },
  });
  return Object.assign(stream, { text: () => Buffer.concat(pieces).toString() });
}
