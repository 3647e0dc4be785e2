import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";
import { systemEnvironment } from "./environment.ts";
import { startGitServer } from "./git-server.ts";
import { runProgram } from "./run-program.ts";

describeWithSystem("git-server", (server) => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-git-client-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const git = (...args: readonly string[]) =>
    runProgram("git", args, {
      folder,
      environment: systemEnvironment(folder, {
        GIT_TERMINAL_PROMPT: "0",
        GIT_AUTHOR_NAME: "A",
        GIT_AUTHOR_EMAIL: "a@example.com",
        GIT_COMMITTER_NAME: "A",
        GIT_COMMITTER_EMAIL: "a@example.com",
      }),
    });

  it("serves a clone", async () => {
    const repository = await server().createRepository("cloned", { "folder/file.txt": "content" });
    await git("clone", "--quiet", repository.url, "cloned");
    expect(await readFile(join(folder, "cloned/folder/file.txt"), "utf8")).toBe("content");
  });

  it("serves a shallow fetch of one commit that no branch points to any more", async () => {
    const repository = await server().createRepository("shallow");
    const commit = await repository.commit({ file: "one" }, { branch: "gone" });
    await repository.git("branch", "--delete", "--force", "gone");
    await git("init", "--quiet", "shallow");
    await git("-C", "shallow", "fetch", "--quiet", "--depth=1", repository.url, commit);
    expect(await git("-C", "shallow", "show", "FETCH_HEAD:file")).toBe("one");
  });

  it("takes a push", async () => {
    const repository = await server().createRepository("pushed");
    await git("clone", "--quiet", repository.url, "pushed");
    await writeFile(join(folder, "pushed/new.txt"), "new");
    await git("-C", "pushed", "add", "--all");
    await git("-C", "pushed", "commit", "--quiet", "--message", "Add");
    await git("-C", "pushed", "push", "--quiet", "origin", "main");
    expect(await repository.git("show", "main:new.txt")).toBe("new");
  });

  it("begins a new branch at main and adds to one that exists", async () => {
    const repository = await server().createRepository("branches", { main: "1" });
    await repository.commit({ first: "1" }, { branch: "feature" });
    await repository.commit({ second: "2" }, { branch: "feature", message: "Second" });
    expect((await repository.git("ls-tree", "--name-only", "feature")).trim().split("\n")).toEqual([
      "first",
      "main",
      "second",
    ]);
    expect((await repository.git("ls-tree", "--name-only", "main")).trim()).toBe("main");
  });

  it("answers 404 for a repository that is not there", async () => {
    const response = await fetch(`${server().endpoint}/none.git/info/refs?service=git-upload-pack`);
    expect(response.status).toBe(404);
  });

  it("lets in only those who know the password", async () => {
    const basicAuth = { user: "gitlab-ci-token", password: "secret" };
    const seen: (string | undefined)[] = [];
    await using guarded = await startGitServer({ basicAuth, onRequest: (request) => void seen.push(request.url) });
    const { url } = await guarded.createRepository("guarded");
    await expect(git("clone", "--quiet", url, "refused")).rejects.toThrow("could not read Username");
    await expect(git("clone", "--quiet", url.replace("//", "//gitlab-ci-token:wrong@"), "refused")).rejects.toThrow(
      "Authentication failed",
    );
    await git("clone", "--quiet", url.replace("//", "//gitlab-ci-token:secret@"), "guarded");
    expect(await git("-C", "guarded", "log", "--format=%s")).toBe("Begin\n");
    expect(seen).toContain("/guarded.git/info/refs?service=git-upload-pack");
  });
});
