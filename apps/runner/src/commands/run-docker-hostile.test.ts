import { type DockerEngine, importImage, startGitServer } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { containersOf, dockerJob, dockerWorld, type DockerWorld, volumesOf } from "../testing/docker-world.ts";

// A job that hears nothing is asked, waited for and killed, and then the next one runs.
vi.setConfig({ testTimeout: 180_000 });

const MEGABYTE = 1_048_576;
/** Hears neither TERM nor INT, and its children neither. */
const DEAF = "trap '' TERM INT HUP; echo started; while true; do sleep 1; done";
/** All places are taken in the end, and every process sleeps. */
const FORKS_AND_STAYS = "f() { f & f & sleep 600; }; echo started; f";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-and-git" });
    const script = `trap '' TERM; echo entry; while true; do sleep 600; done`;
    await makeImage(engine(), "never-ends", `ENTRYPOINT ${JSON.stringify(["sh", "-c", script])}`);
  });

  /** The runner must still work, and nothing of the job before may be on the engine. */
  async function expectNextJobRuns(world: DockerWorld): Promise<void> {
    // What a job had goes after its end was told.
    await vi.waitFor(async () => expect(await containersOf(engine())).toEqual([]), { timeout: 30_000 });
    const next = await world.coordinator.addJob(dockerJob(["echo it goes on"])).finished;
    expect(next.status).toBe("success");
    expect(await world.linesOf(next)).toMatch(/^it goes on$/m);
  }

  describe("a hostile job in fleetfoot run", () => {
    it.each<[string, NewJob, Partial<JobView>]>([
      [
        "whose image has an entrypoint that never ends and hears nothing",
        dockerJob(["echo never read"], { image: { name: "never-ends" }, runner_info: { timeout: 3 } }),
        { failureReason: "job_execution_timeout" },
      ],
      [
        "that fills its disk",
        dockerJob(["dd if=/dev/zero of=/small/file bs=1M count=5", "echo not reached"]),
        { failureReason: "script_failure", exitCode: 1 },
      ],
      [
        "that forks until the limit of processes ends it",
        dockerJob(["f() { f | f & wait; }; f", "sleep 1", "exit 9"]),
        { failureReason: "script_failure" },
      ],
      [
        "that forks until no process is free, not even one for the runner",
        dockerJob([FORKS_AND_STAYS], { runner_info: { timeout: 5 } }),
        { failureReason: "job_execution_timeout" },
      ],
      [
        "that listens to no signal",
        dockerJob([DEAF], { runner_info: { timeout: 3 } }),
        { failureReason: "job_execution_timeout" },
      ],
    ])("%s fails for the right reason, and the next job runs", async (_, order, expected) => {
      const settings = 'pids_limit = 40\ntmpfs = { "/small" = "size=1m" }';
      await using world = await dockerWorld(engine(), { settings });
      world.start();
      const view = await world.coordinator.addJob(order).finished;
      expect(view).toMatchObject({ status: "failed", ...expected });
      const log = await world.linesOf(view);
      expect(log).toMatch(/ERROR: Job failed: (?:exit code \d+|execution took longer than \ds seconds)/);
      expect(log).not.toMatch(/^not reached$/m);
      await expectNextJobRuns(world);
    });

    it("that listens to no signal is cancelled all the same", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const { id, finished } = world.coordinator.addJob(dockerJob([DEAF.replace("sleep 1", "echo tick; sleep 1")]));
      await world.printed({ id }, "tick");
      world.coordinator.cancelJob(id);
      expect((await finished).status).toBe("canceled");
      await world.printed({ id }, "Job failed: canceled");
      await expectNextJobRuns(world);
    });

    it("that prints 10 MB without a newline succeeds, and its log ends at the limit", async () => {
      await using world = await dockerWorld(engine(), { runner: "output_limit = 1024" });
      world.start();
      const flood = await world.coordinator.addJob(dockerJob(["head -c 10485760 /dev/zero | tr '\\0' x"])).finished;
      expect(flood.status).toBe("success");
      const log = await world.logOf(flood);
      expect(log).toContain("Job's log exceeded limit of 1048576 bytes.");
      expect(log.length).toBeGreaterThan(MEGABYTE);
      expect(log.length).toBeLessThan(MEGABYTE + 1024);
      await expectNextJobRuns(world);
    });

    it("that prints escapes of terminals and false section marks succeeds, and its log has them as they are", async () => {
      await using world = await dockerWorld(engine());
      world.start();
      const escapes = String.raw`printf '\033[2J\033]0;title\007\033[31m\rsection_end:1:step_script\r\033[0K\n'`;
      const view = await world.coordinator.addJob(dockerJob([escapes], { features: { trace_sections: true } }))
        .finished;
      expect(view.status).toBe("success");
      const log = (await world.logOf(view)).replaceAll(/\n\S+Z \d\d[OE]\+/g, "");
      expect(log).toContain("\u001B[2J\u001B]0;title\u0007\u001B[31m");
      expect(log).toMatch(/section_end:[1-9]\d{9}:step_script/);
      await expectNextJobRuns(world);
    });

    it("that removes its own working directory, and all else that it may, leaves the next job of its place its sources", async () => {
      await using server = await startGitServer();
      const repository = await server.createRepository("project", { "source.txt": "from git\n" });
      await using world = await dockerWorld(engine());
      world.start();
      const git_info = {
        repo_url: repository.url,
        ref: "main",
        sha: (await repository.git("rev-parse", "main")).trim(),
        refspecs: ["+refs/heads/main:refs/remotes/origin/main"],
        depth: 1,
      };
      const order = (script: readonly string[]): NewJob => ({
        git_info,
        variables: [],
        allow_git_fetch: true,
        image: { name: "fleetfoot-bash-and-git" },
        artifacts: [{ paths: ["source.txt"], when: "always" }],
        steps: [{ name: "script", script }],
      });
      const removal = order(['rm -rf "$CI_PROJECT_DIR" "$CI_PROJECT_DIR.tmp" /tmp /etc || true', "echo removed"]);
      const view = await world.coordinator.addJob(removal).finished;
      // Directories of the runner's host mean nothing to the job.
      expect(await world.linesOf(view)).not.toContain(world.folder);
      expect(await world.linesOf(view)).toMatch(/^removed$[^]*"source.txt" matches no files/m);
      expect(view.status).toBe("success");
      const next = await world.coordinator.addJob(order(["cat source.txt"])).finished;
      expect(await world.linesOf(next)).toMatch(/^from git$/m);
      expect(next.status).toBe("success");
      await expectNextJobRuns(world);
    });

    it("leaves no volume of its own behind, whatever its end", async () => {
      await using world = await dockerWorld(engine(), { settings: 'disable_cache = true\nvolumes = ["/data"]' });
      world.start();
      const filled = dockerJob(["echo x > /data/file", DEAF], { runner_info: { timeout: 3 } });
      expect((await world.coordinator.addJob(filled).finished).failureReason).toBe("job_execution_timeout");
      await expectNextJobRuns(world);
      await vi.waitFor(async () => expect(await volumesOf(engine())).toEqual([]), { timeout: 30_000 });
    });
  });
});

/** Makes an image of the small one by an instruction. */
async function makeImage(engine: DockerEngine, name: string, instruction: string): Promise<void> {
  const created = await engine.request({
    method: "POST",
    path: "/containers/create",
    body: { Image: "fleetfoot-busybox", Cmd: ["true"] },
  });
  const { Id: id } = created.json() as { readonly Id: string };
  const query = new URLSearchParams({ container: id, repo: name, tag: "latest", changes: instruction });
  const committed = await engine.request({ method: "POST", path: `/commit?${query}`, body: {} });
  await engine.request({ method: "DELETE", path: `/containers/${id}` });
  if (committed.status !== 201) throw new Error(`commit: ${committed.text}`);
}
