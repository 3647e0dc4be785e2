import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type GitRepository, importImage, startGitServer } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { beforeAll, describe, expect, it } from "vitest";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-and-git" });
  });

  /** A world whose one runner has containers and a helper image with git; jobs have an image without. */
  async function helperWorld({ helper = "fleetfoot-bash-and-git", runner = "" } = {}): Promise<RunnerWorld> {
    const world = await runnerWorld();
    await world.configure({ runner });
    const text = (await readFile(world.configPath, "utf8")).replace('executor = "shell"', 'executor = "docker"');
    const docker = `[runners.docker]\nhost = "${engine().dockerHost}"\nimage = "fleetfoot-busybox"\npull_policy = "if-not-present"\nhelper_image = "${helper}"\n`;
    await writeFile(world.configPath, text + docker);
    return world;
  }

  /** Every line without its time. */
  async function linesOf(world: RunnerWorld, view: JobView): Promise<string> {
    const text = new TextDecoder().decode(await world.coordinator.readTrace(view.id));
    return text.replaceAll(/^\S+Z \d\d[OE][ +]/gm, "");
  }

  async function sourcesOf(repository: GitRepository): Promise<NonNullable<NewJob["git_info"]>> {
    return {
      repo_url: repository.url.replace("://", "://ci:hushhush@"),
      ref: "main",
      sha: (await repository.git("rev-parse", "main")).trim(),
      refspecs: ["+refs/heads/main:refs/remotes/origin/main"],
      depth: 1,
    };
  }

  const volumes = (): string => join(engine().folder, "data/volumes");

  const script = (...lines: readonly string[]): NonNullable<NewJob["steps"]> => [{ name: "script", script: lines }];

  describe("a helper image", () => {
    it("JE 25: fetches sources beside the scripts, next time only what is new, and keeps nothing secret", async () => {
      await using server = await startGitServer({ host: engine().hostAddress });
      const repository = await server.createRepository("project", { "source.txt": "first\n" });
      await using world = await helperWorld({ runner: "pre_get_sources_script = 'git --version && id -u'" });
      world.start();
      const order: NewJob = {
        allow_git_fetch: true,
        variables: [{ key: "CERTIFICATE", value: "of the variable", file: true }],
        cache: [{ key: "deps", paths: ["deps/"], policy: "pull-push", when: "on_success" }],
        artifacts: [{ paths: ["out/*.txt"], when: "on_success" }],
        steps: script(
          "cat source.txt $CERTIFICATE",
          "ls left-over .git/planted deps/installed 2>&1 || true",
          'echo "$(grep -c hushhush .git/config) tokens"',
          "mkdir -p deps out .git/hooks; touch deps/installed left-over .git/planted; cp source.txt out/",
          "printf '#!/bin/sh\\necho planted hook ran\\n' > .git/hooks/post-checkout; chmod 755 .git/hooks/post-checkout",
          "printf '[core]\\n\\tfsmonitor = \"echo planted setting ran\"\\n' >> .git/config; cp .git/config out/config.txt",
        ),
      };
      const first = await world.coordinator.addJob({ ...order, git_info: await sourcesOf(repository) }).finished;
      const log = await linesOf(world, first);
      expect(log).toContain(
        "Sources are fetched in a container of fleetfoot-bash-and-git, other files of the job travel through the engine's archive API: helper_image is configured",
      );
      expect(log).toMatch(/^git version [^]*^0$[^]*Created fresh repository\.[^]*Checking out \w{8} as detached HEAD/m);
      expect(log).toMatch(/^first\nof the variable/m);
      expect(log).toContain("Saved cache deps");
      expect(first.status).toBe("success");
      await repository.commit({ "source.txt": "second\n" });
      const second = await world.coordinator.addJob({ ...order, git_info: await sourcesOf(repository) }).finished;
      const next = await linesOf(world, second);
      expect(second.status).toBe("success");
      expect(next).not.toContain("Created fresh repository");
      expect(next).toMatch(/^second\n/m);
      expect(next).toMatch(/^deps\/installed$/m);
      expect(next).toContain("left-over: No such file");
      expect(next).not.toMatch(/^planted/m);
      expect(next).toMatch(/^0 tokens$/m);
      const kept = (await readdir(volumes())).find((name) => /^runner-[0-9a-f]{32}-cache-/.test(name)) ?? "";
      // Neither file variables nor the settings with the token.
      expect(await readdir(join(volumes(), kept, "_data"))).toEqual(["project"]);
    });

    it("clones submodules and lets a user of the image write everywhere", async () => {
      await using server = await startGitServer({ host: engine().hostAddress });
      const inner = await server.createRepository("inner", { "inner.txt": "of the submodule\n" });
      const repository = await server.createRepository("outer", { "source.txt": "of the project\n" });
      await addSubmodule(repository, "modules/inner", inner);
      await using world = await helperWorld();
      world.start();
      const view = await world.coordinator.addJob({
        git_info: await sourcesOf(repository),
        variables: [
          { key: "GIT_STRATEGY", value: "clone" },
          { key: "GIT_SUBMODULE_STRATEGY", value: "recursive" },
        ],
        image: { name: "fleetfoot-busybox", executor_opts: { docker: { user: "65534" } } },
        steps: script(
          "cat source.txt modules/inner/inner.txt",
          "echo own > source.txt; touch modules/inner/made; id -u",
        ),
      }).finished;
      expect(await linesOf(world, view)).toMatch(/^of the project\nof the submodule$[^]*^65534$/m);
      expect(view.status).toBe("success");
    });

    it("without git fails the job by name, and one that nobody has is the configuration's fault", async () => {
      await using server = await startGitServer({ host: engine().hostAddress });
      const repository = await server.createRepository("project", { "source.txt": "x\n" });
      const order: NewJob = {
        git_info: await sourcesOf(repository),
        variables: [],
        steps: script("true"),
        features: { failure_reasons: ["runner_configuration_error"] },
      };
      {
        await using world = await helperWorld({ helper: "fleetfoot-busybox" });
        world.start();
        const view = await world.coordinator.addJob(order).finished;
        expect(view).toMatchObject({ status: "failed", failureReason: "script_failure" });
        expect(await linesOf(world, view)).toMatch(
          /there is no git in the helper image[^]*git in the helper image: exit code 127/,
        );
      }
      await using world = await helperWorld({ helper: `${engine().hostAddress}:9/no-such-image` });
      world.start();
      const view = await world.coordinator.addJob(order).finished;
      expect(view.status).toBe("failed");
      expect(await linesOf(world, view)).toMatch(/failed to pull image ".*no-such-image"/);
    });

    it("is not used for a job that wants untracked files, and the log says why", async () => {
      await using server = await startGitServer({ host: engine().hostAddress });
      const repository = await server.createRepository("project", { "source.txt": "x\n" });
      await using world = await helperWorld();
      world.start();
      const view = await world.coordinator.addJob({
        git_info: await sourcesOf(repository),
        variables: [],
        artifacts: [{ untracked: true, when: "on_success" }],
        steps: script("echo made > made.txt"),
      }).finished;
      const log = await linesOf(world, view);
      expect(log).toContain(
        "Files of the job travel through the engine's archive API: the job wants untracked files, which are told apart on this host",
      );
      expect(log).toMatch(/untracked: found 1 matching/);
      expect(view.status).toBe("success");
    });
  });
});

/** Commits a link to a repository, as `git submodule add` does in a working copy. */
async function addSubmodule(repository: GitRepository, path: string, inner: GitRepository): Promise<void> {
  await repository.commit({ ".gitmodules": `[submodule "inner"]\n\tpath = ${path}\n\turl = ${inner.url}\n` });
  const sha = (await inner.git("rev-parse", "main")).trim();
  await repository.git("read-tree", "main");
  await repository.git("update-index", "--add", "--cacheinfo", `160000,${sha},${path}`);
  const tree = (await repository.git("write-tree")).trim();
  const identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
  const commit = await repository.git(...identity, "commit-tree", tree, "-p", "main", "-m", "Add a submodule");
  await repository.git("update-ref", "refs/heads/main", commit.trim());
}
