import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { testEnvironment } from "../testing/project.ts";
import { expectGone } from "../testing/run-helpers.ts";
import { createGitHttpHandler, type GitHttpHandler } from "./git-http.ts";

describe("createGitHttpHandler", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-git-http-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** With a program in the place of git. */
  async function handlerOf(script: string): Promise<GitHttpHandler> {
    const git = join(folder, "git");
    await writeFile(git, `#!/bin/sh\necho $$ > '${folder}/pid'\n${script}\n`);
    await chmod(git, 0o700);
    return createGitHttpHandler({
      repository: join(folder, "project.git"),
      path: "/group/project.git",
      isAllowed: () => true,
      environment: { PATH: `${folder}${delimiter}${testEnvironment(folder)["PATH"] ?? ""}` },
      warn: () => undefined,
    });
  }

  it.each([
    { what: "whose head has no end", script: "exec yes 'Name: value'" },
    { what: "that closes its output and goes on", script: "exec sleep 600 >&-" },
  ])("ends a git $what", async ({ script }) => {
    const handle = await handlerOf(script);
    const request = new AbortController();
    try {
      const url = "http://localhost/group/project.git/info/refs?service=git-upload-pack";
      const answer = handle(new Request(url, { signal: request.signal }));
      await expect(answer).rejects.toThrow("git http-backend gave no answer");
      await expectGone(Number(await readFile(join(folder, "pid"), "utf8")));
    } finally {
      request.abort();
    }
  });
});
