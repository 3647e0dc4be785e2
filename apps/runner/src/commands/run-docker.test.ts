import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DockerEngine, importImage, startGitServer } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { startChild } from "../testing/process.ts";
import { testEnvironment } from "../testing/project.ts";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

const NO_SOURCES = { key: "GIT_STRATEGY", value: "none" };

/** The coordinator can answer that a job is cancelled only when it is told something. */
const TICKING = "while true; do echo tick; sleep 0.2; done";

function job(script: readonly string[], more: Partial<NewJob> = {}): NewJob {
  return { variables: [NO_SOURCES], steps: [{ name: "script", script }], ...more };
}

function withAfterScript(
  script: readonly string[],
  afterScript: readonly string[],
  more: Partial<NewJob> = {},
): NewJob {
  const steps = [
    { name: "script", script },
    { name: "after_script", script: afterScript, when: "always", allow_failure: true },
  ];
  return { variables: [NO_SOURCES], steps, ...more };
}

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-and-git" });
  });

  /** A world whose one runner has containers. @param settings - lines of `[runners.docker]` */
  async function dockerWorld(settings = "", top = "concurrent = 4"): Promise<RunnerWorld> {
    const world = await runnerWorld();
    await world.configure({ top, runner: "request_concurrency = 4" });
    const text = (await readFile(world.configPath, "utf8")).replace('executor = "shell"', 'executor = "docker"');
    const docker = `[runners.docker]\nhost = "${engine().dockerHost}"\nimage = "fleetfoot-busybox"\npull_policy = "if-not-present"\n${settings}\n`;
    await writeFile(world.configPath, text + docker);
    return world;
  }

  async function logOf(world: RunnerWorld, view: JobView): Promise<string> {
    return new TextDecoder().decode(await world.coordinator.readTrace(view.id));
  }

  /** Every line without its time. */
  async function linesOf(world: RunnerWorld, view: JobView): Promise<string> {
    return (await logOf(world, view)).replaceAll(/^\S+Z \d\d[OE][ +]/gm, "");
  }

  async function expectNothingLeft(of: DockerEngine): Promise<void> {
    const answer = await of.request({ method: "GET", path: "/containers/json?all=1" });
    expect(answer.json()).toEqual([]);
  }

  describe("fleetfoot run with containers", () => {
    it("JE 1: a quiet job has five sections, succeeds, and leaves nothing on the engine", async () => {
      await using world = await dockerWorld();
      const runner = world.start();
      const view = await world.coordinator.addJob(job(["echo hi"], { features: { trace_sections: true } })).finished;
      expect(view.status).toBe("success");
      const log = await logOf(world, view);
      expect([...log.matchAll(/section_start:\d+:(\w+)/g)].map(([, name]) => name)).toEqual([
        "prepare_executor",
        "prepare_script",
        "get_sources",
        "step_script",
        "cleanup_file_variables",
      ]);
      expect(log).toContain("Using Docker executor with image fleetfoot-busybox ...");
      expect(log).toMatch(/Files of the job lie in a directory that is shared with the engine: /);
      expect(log).toMatch(/Running on runner-\S+-project-\d+-concurrent-0 via \S+\.\.\./);
      expect(log).toContain("Job succeeded");
      expect(await runner.finish()).toBe(0);
      await expectNothingLeft(engine());
    });

    it("JE 3: reports the exit code of a script, after after_script has run", async () => {
      await using world = await dockerWorld();
      world.start();
      const view = await world.coordinator.addJob(withAfterScript(["exit 7"], ["echo status $CI_JOB_STATUS"])).finished;
      expect(view).toMatchObject({ status: "failed", failureReason: "script_failure", exitCode: 7 });
      const log = await linesOf(world, view);
      expect(log).toContain("ERROR: Job failed: exit code 7");
      expect(log).toContain("status failed");
    });

    it("JE 5, JE 6: a pipe fails as a whole in bash, and no command can read the rest of the script", async () => {
      await using world = await dockerWorld();
      world.start();
      const image = { name: "fleetfoot-bash-and-git" };
      const piped = await world.coordinator.addJob(job(["false | true", "echo not here"], { image })).finished;
      expect(piped.exitCode).toBe(1);
      expect((await linesOf(world, piped)).split("not here")).toHaveLength(1);
      const reading = await world.coordinator.addJob(job(["cat", "echo after"])).finished;
      expect(reading.status).toBe("success");
      expect(await linesOf(world, reading)).toMatch(/^after$/m);
    });

    it("JE 17: a cancel stops the script, after_script still runs in the container and sees it", async () => {
      await using world = await dockerWorld();
      world.start();
      const long = withAfterScript(
        ["touch /tmp/was-here", "echo started", TICKING],
        ["ls /tmp/was-here", "echo $CI_JOB_STATUS"],
      );
      const { id, finished } = world.coordinator.addJob(long);
      await vi.waitFor(async () => expect(await logOf(world, { id } as JobView)).toContain("started"), {
        timeout: 30_000,
      });
      world.coordinator.cancelJob(id);
      const view = await finished;
      expect(view.status).toBe("canceled");
      await vi.waitFor(async () => expect(await linesOf(world, view)).toContain("Job failed: canceled"), {
        timeout: 30_000,
      });
      expect(await linesOf(world, view)).toMatch(/^\/tmp\/was-here$[^]*^canceled$/m);
    });

    it("JE 18: an abort ends the job at once, without after_script, and its container goes", async () => {
      await using world = await dockerWorld();
      const runner = world.start();
      const { id } = world.coordinator.addJob(withAfterScript(["echo started", TICKING], ["echo after"]));
      await vi.waitFor(async () => expect(await logOf(world, { id } as JobView)).toContain("started"), {
        timeout: 30_000,
      });
      world.coordinator.cancelJob(id, { force: true });
      await vi.waitFor(() => expect(runner.context.complained()).toContain("Job failed"), { timeout: 30_000 });
      expect(await linesOf(world, { id } as JobView)).not.toMatch(/^after$/m);
      expect(await runner.finish()).toBe(0);
      await expectNothingLeft(engine());
    });

    it("JE 14: the job's limit of time ends it without after_script", async () => {
      await using world = await dockerWorld();
      world.start();
      const slow = withAfterScript(["sleep 60"], ["echo after"], { runner_info: { timeout: 3 } });
      const view = await world.coordinator.addJob(slow).finished;
      expect(view.failureReason).toBe("job_execution_timeout");
      const log = await linesOf(world, view);
      expect(log).toContain("execution took longer than 3s seconds");
      expect(log).not.toMatch(/^after$/m);
    });

    it("JE 24: a clone path outside of the builds directory is the configuration's fault", async () => {
      await using world = await dockerWorld();
      world.start();
      const variables = [NO_SOURCES, { key: "GIT_CLONE_PATH", value: "/elsewhere" }];
      const view = await world.coordinator.addJob(
        job(["true"], { variables, features: { failure_reasons: ["runner_configuration_error"] } }),
      ).finished;
      expect(view.failureReason).toBe("runner_configuration_error");
      expect(await linesOf(world, view)).toContain('has to be within the builds root "/builds"');
    });

    it("JE 55: reports running jobs as interrupted after SIGTERM, and their containers are gone", async () => {
      await using world = await dockerWorld();
      const runner = world.start();
      const { id, finished } = world.coordinator.addJob(job(["echo started", "sleep 600"]));
      await vi.waitFor(async () => expect(await logOf(world, { id } as JobView)).toContain("started"), {
        timeout: 30_000,
      });
      expect(await runner.terminate()).toBe(0);
      expect((await finished).status).toBe("failed");
      await expectNothingLeft(engine());
    });

    it.each([
      ["a shared directory", ""],
      ["the archive API", 'volumes = ["/builds"]'],
    ])("brings sources, caches, file variables and artifacts to the scripts and back by %s", async (_, settings) => {
      await using server = await startGitServer();
      const repository = await server.createRepository("project", { "source.txt": "from git\n" });
      await using world = await dockerWorld(settings);
      world.start();
      const git_info = {
        repo_url: repository.url,
        ref: "main",
        sha: (await repository.git("rev-parse", "main")).trim(),
        refspecs: ["+refs/heads/main:refs/remotes/origin/main"],
        depth: 1,
      };
      const variables = [
        { key: "CERTIFICATE", value: "of the variable", file: true },
        { key: "GIT_SSH_COMMAND", value: "touch /tmp/fleetfoot-evil" },
      ];
      const cache = [{ key: "deps", paths: ["deps/"], policy: "pull-push", when: "on_success" }];
      const artifacts = [{ paths: ["$CI_PROJECT_DIR/out/*.txt"], when: "on_success" }];
      const order: NewJob = {
        git_info,
        variables,
        cache,
        artifacts,
        allow_git_fetch: true,
        image: { name: "fleetfoot-bash-and-git" },
        steps: [
          {
            name: "script",
            script: [
              "cat source.txt $CERTIFICATE",
              "git -c safe.directory=* log --oneline | wc -l",
              "ls deps 2>/dev/null || echo no deps",
              "mkdir -p deps out; touch deps/installed; cp source.txt out/; chmod 700 deps",
            ],
          },
        ],
      };
      const first = await world.coordinator.addJob(order).finished;
      expect(await linesOf(world, first)).toMatch(
        /^from git\nof the variable[^]*^1$[^]*^no deps$[^]*Saved cache deps/m,
      );
      expect(first.status).toBe("success");
      const second = await world.coordinator.addJob(order).finished;
      expect(await linesOf(world, second)).toMatch(/^from git\nof the variable[^]*^1$[^]*^installed$/m);
      expect(second.status).toBe("success");
      const [archive] = world.coordinator.job(second.id)?.artifacts ?? [];
      expect(archive?.bytes).toBeGreaterThan(100);
    });

    it("JE 51: after a kill -9 with five jobs running, the next start removes exactly what they left", async () => {
      await using world = await dockerWorld('volumes = ["/kept"]', "concurrent = 5");
      await writeFile(
        world.configPath,
        (await readFile(world.configPath, "utf8")).replace("request_concurrency = 4", "request_concurrency = 5"),
      );
      const foreign = {
        Image: "fleetfoot-busybox",
        Cmd: ["sleep", "600"],
        Labels: { "com.gitlab.gitlab-runner.managed": "true" },
      };
      await engine().request({ method: "POST", path: "/containers/create?name=foreign", body: foreign });
      const words = ["run", "--config", world.configPath, "--working-directory", world.folder];
      const child = startChild(words, { directory: world.folder, environment: testEnvironment(world.folder) });
      const variables = [NO_SOURCES, { key: "FF_NETWORK_PER_BUILD", value: "true" }];
      const jobs = Array.from({ length: 5 }, () =>
        world.coordinator.addJob(job(["echo started", "sleep 600"], { variables })),
      );
      await vi.waitFor(
        async () => {
          for (const { id } of jobs) expect(await logOf(world, { id } as JobView)).toContain("started");
        },
        { timeout: 60_000 },
      );
      child.kill("SIGKILL");
      await child.ended;
      const runner = world.start();
      await vi.waitFor(() => expect(runner.context.complained()).toContain("Removed what earlier jobs have left"), {
        timeout: 60_000,
      });
      expect(runner.context.complained()).toMatch(/containers=5.* networks=5/);
      const containers = await engine().request({ method: "GET", path: "/containers/json?all=1" });
      expect((containers.json() as readonly { readonly Names: readonly string[] }[]).map(({ Names }) => Names)).toEqual(
        [["/foreign"]],
      );
      const volumes = await engine().request({ method: "GET", path: "/volumes" });
      const names = (volumes.json() as { readonly Volumes: readonly { readonly Name: string }[] }).Volumes.map(
        ({ Name }) => Name,
      );
      // Those that are kept stay: one for each of the five numbers.
      const kept = createHash("md5").update("/kept").digest("hex");
      expect(names.filter((name) => name.endsWith(kept))).toHaveLength(5);
      expect(names.filter((name) => !/^runner-[0-9a-f]{32}-cache-/.test(name))).toEqual([]);
      const [folder = ""] = await readdir(join(world.folder, "docker"));
      expect(await readdir(join(world.folder, "docker", folder, "shared"))).toEqual([]);
      await runner.terminate();
      await engine().request({ method: "DELETE", path: "/containers/foreign?force=1" });
    });
  });
});
