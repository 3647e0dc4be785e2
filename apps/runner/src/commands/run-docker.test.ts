import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type DockerEngine, importImage, startGitServer } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { NewJob } from "@fleetfoot/local-coordinator";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { containersOf, dockerJob, dockerWorld, networksOf, NO_SOURCES, volumesOf } from "../testing/docker-world.ts";
import { startRun } from "../testing/run-helpers.ts";

/** The coordinator can answer that a job is cancelled only when it is told something. */
const TICKING = "while true; do echo tick; sleep 0.2; done";

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

  describe("fleetfoot run with containers", () => {
    it("JE 1: a quiet job has five sections, succeeds, and leaves nothing on the engine", async () => {
      await using world = await dockerWorld(engine());
      const runner = world.start();
      const view = await world.coordinator.addJob(dockerJob(["echo hi"], { features: { trace_sections: true } }))
        .finished;
      expect(view.status).toBe("success");
      const log = await world.logOf(view);
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
      expect(await containersOf(engine())).toEqual([]);
    });

    it("JE 3: reports the exit code of a script, after after_script has run", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const view = await world.coordinator.addJob(withAfterScript(["exit 7"], ["echo status $CI_JOB_STATUS"])).finished;
      expect(view).toMatchObject({ status: "failed", failureReason: "script_failure", exitCode: 7 });
      const log = await world.linesOf(view);
      expect(log).toContain("ERROR: Job failed: exit code 7");
      expect(log).toContain("status failed");
    });

    it("JE 5, JE 6: a pipe fails as a whole in bash, and no command can read the rest of the script", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const image = { name: "fleetfoot-bash-and-git" };
      const piped = await world.coordinator.addJob(dockerJob(["false | true", "echo not here"], { image })).finished;
      expect(piped.exitCode).toBe(1);
      expect((await world.linesOf(piped)).split("not here")).toHaveLength(1);
      const reading = await world.coordinator.addJob(dockerJob(["cat", "echo after"])).finished;
      expect(reading.status).toBe("success");
      expect(await world.linesOf(reading)).toMatch(/^after$/m);
    });

    it("JE 17: a cancel stops the script, after_script still runs in the container and sees it", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const long = withAfterScript(
        ["touch /tmp/was-here", "echo started", TICKING],
        ["ls /tmp/was-here", "echo $CI_JOB_STATUS"],
      );
      const { id, finished } = world.coordinator.addJob(long);
      await world.printed({ id }, "started");
      world.coordinator.cancelJob(id);
      const view = await finished;
      expect(view.status).toBe("canceled");
      await vi.waitFor(async () => expect(await world.linesOf(view)).toContain("Job failed: canceled"), {
        timeout: 30_000,
      });
      expect(await world.linesOf(view)).toMatch(/^\/tmp\/was-here$[^]*^canceled$/m);
    });

    it("JE 18: an abort ends the job at once, without after_script, and its container goes", async () => {
      await using world = await dockerWorld(engine());
      const runner = world.start();
      const { id } = world.coordinator.addJob(withAfterScript(["echo started", TICKING], ["echo after"]));
      await world.printed({ id }, "started");
      world.coordinator.cancelJob(id, { force: true });
      await vi.waitFor(() => expect(runner.context.complained()).toContain("Job failed"), { timeout: 30_000 });
      expect(await world.linesOf({ id })).not.toMatch(/^after$/m);
      expect(await runner.finish()).toBe(0);
      expect(await containersOf(engine())).toEqual([]);
    });

    it("JE 14: the job's limit of time ends it without after_script", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const slow = withAfterScript(["sleep 60"], ["echo after"], { runner_info: { timeout: 3 } });
      const view = await world.coordinator.addJob(slow).finished;
      expect(view.failureReason).toBe("job_execution_timeout");
      const log = await world.linesOf(view);
      expect(log).toContain("execution took longer than 3s seconds");
      expect(log).not.toMatch(/^after$/m);
    });

    it("JE 24: a clone path outside of the builds directory is the configuration's fault", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const variables = [NO_SOURCES, { key: "GIT_CLONE_PATH", value: "/elsewhere" }];
      const view = await world.coordinator.addJob(
        dockerJob(["true"], { variables, features: { failure_reasons: ["runner_configuration_error"] } }),
      ).finished;
      expect(view.failureReason).toBe("runner_configuration_error");
      expect(await world.linesOf(view)).toContain('has to be within the builds root "/builds"');
    });

    it("JE 55: reports running jobs as interrupted after SIGTERM, and their containers are gone", async () => {
      await using world = await dockerWorld(engine());
      const runner = world.start();
      const { id, finished } = world.coordinator.addJob(dockerJob(["echo started", "sleep 600"]));
      await world.printed({ id }, "started");
      expect(await runner.terminate()).toBe(0);
      expect((await finished).status).toBe("failed");
      expect(await containersOf(engine())).toEqual([]);
    });

    it.each([
      ["a shared directory", ""],
      ["the archive API", 'volumes = ["/builds"]'],
    ])("brings sources, caches, file variables and artifacts to the scripts and back by %s", async (_, settings) => {
      await using server = await startGitServer();
      const repository = await server.createRepository("project", { "source.txt": "from git\n" });
      await using world = await dockerWorld(engine(), { settings });
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
      expect(await world.linesOf(first)).toMatch(/^from git\nof the variable[^]*^1$[^]*^no deps$[^]*Saved cache deps/m);
      expect(first.status).toBe("success");
      expect(await world.linesOf(first)).not.toContain(world.folder);
      const second = await world.coordinator.addJob(order).finished;
      expect(await world.linesOf(second)).toMatch(/^from git\nof the variable[^]*^1$[^]*^installed$/m);
      expect(second.status).toBe("success");
      const [archive] = world.coordinator.job(second.id)?.artifacts ?? [];
      expect(archive?.bytes).toBeGreaterThan(100);
    });

    it("JE 51: after a kill -9 with five jobs running, the next start removes exactly what they left", async () => {
      const settings = 'volumes = ["/kept"]\nwait_for_services_timeout = -1';
      const [top, lines] = ["concurrent = 5", "request_concurrency = 5"];
      await using world = await dockerWorld(engine(), { settings, top, runner: lines });
      const before = await volumesOf(engine());
      const killed = startRun(world);
      const variables = [NO_SOURCES, { key: "FF_NETWORK_PER_BUILD", value: "true" }];
      const services = [{ name: "fleetfoot-busybox", command: ["sleep", "600"] }];
      const jobs = Array.from({ length: 5 }, () =>
        world.coordinator.addJob(dockerJob(["echo started", "sleep 600"], { variables, services })),
      );
      await Promise.all(jobs.map((job) => world.printed(job, "started")));
      await using foreign = await makeForeignThings(engine());
      killed.kill("SIGKILL");
      await killed.ended;

      const runner = world.start();
      await vi.waitFor(() => expect(runner.context.complained()).toContain("Removed what earlier jobs have left"), {
        timeout: 60_000,
      });
      expect(runner.context.complained()).toMatch(/containers=10 networks=5 volumes=5/);
      expect(new Set(await containersOf(engine()))).toEqual(new Set(foreign.names.map((name) => `/${name}`)));
      const networks = await networksOf(engine());
      expect(new Set(networks)).toEqual(new Set(["bridge", "host", "none", ...foreign.names]));
      const volumes = (await volumesOf(engine())).filter((name) => ![...before, ...foreign.names].includes(name));
      // Those that are kept stay: one for each of the five numbers.
      expect(volumes).toHaveLength(5);
      const kept = createHash("md5").update("/kept").digest("hex");
      for (const name of volumes) expect(name).toMatch(new RegExp(`^runner-[0-9a-f]{32}-cache-${kept}$`));
      const [folder = ""] = await readdir(join(world.folder, "docker"));
      expect(await readdir(join(world.folder, "docker", folder, "shared")).catch(() => [])).toEqual([]);
      for (const { finished } of jobs) {
        expect(await finished).toMatchObject({ status: "failed", failureReason: "runner_system_failure" });
      }
      await runner.terminate();
    }, 180_000);
  });
});

/** What would be removed if one of these labels did not count. */
const OTHERS = {
  "of-another-machine": { "runner.system_id": "s_ffffffffffff" },
  "of-another-runner": { "runner.id": "another12" },
  "of-nobody-known": { managed: "false" },
  "of-another-process": { "fleetfoot.runner.instance": "another-instance" },
};

/** Makes a container, a network and a volume each that differ from those of a running job in one label only. */
async function makeForeignThings(
  engine: DockerEngine,
): Promise<AsyncDisposable & { readonly names: readonly string[] }> {
  const listed = await engine.request({ method: "GET", path: "/containers/json" });
  const [job] = listed.json() as readonly { readonly Labels: Readonly<Record<string, string>> }[];
  const send = async (method: "DELETE" | "POST", path: string, body?: object): Promise<void> => {
    const answer = await engine.request({ method, path, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  };
  const names = Object.keys(OTHERS);
  for (const [name, change] of Object.entries(OTHERS)) {
    const changed = Object.entries(change).map(([key, value]) => [
      key.startsWith("fleetfoot.") ? key : `com.gitlab.gitlab-runner.${key}`,
      value,
    ]);
    const labels = { ...job?.Labels, "com.gitlab.gitlab-runner.reusable": "false", ...Object.fromEntries(changed) };
    await send("POST", `/containers/create?name=${name}`, { Image: "fleetfoot-busybox", Labels: labels });
    await send("POST", "/networks/create", { Name: name, Labels: labels });
    await send("POST", "/volumes/create", { Name: name, Labels: labels });
  }
  return {
    names,
    async [Symbol.asyncDispose]() {
      for (const name of names) {
        await send("DELETE", `/containers/${name}?force=1`);
        await send("DELETE", `/networks/${name}`);
        await send("DELETE", `/volumes/${name}`);
      }
    },
  };
}
