import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import {
  ContainerLostError,
  DockerConfigurationError,
  EngineResponseError,
  ImagePullError,
  ScriptNotRunError,
} from "./errors.ts";
import { startCuttableProxy } from "./test-support/cuttable-proxy.ts";
import { openHarness, release, runScript, soon } from "./test-support/harness.ts";
import type { JobOrder } from "./test-support/harness.ts";
import { containerNames, deriveImage, networkNames, volumeNames } from "./test-support/images.ts";
import type { DockerEnvironment } from "./types.ts";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-and-git" });
  });
  const host = (): string => engine().dockerHost;

  describe("scripts", () => {
    it("JE 35: run in an image with nothing but busybox, and their exit code and both streams arrive", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare();
      expect(await runScript(environment, "echo out; echo err >&2; exit 7")).toEqual({
        code: 7,
        text: "exit code 7",
        stdout: "out\n",
        stderr: "err\n",
      });
      await release(environment);
      expect(await containerNames(engine())).toEqual([]);
      expect(await volumeNames(engine())).toEqual([]);
    });

    it("use bash where the image has it", async () => {
      await using harness = await openHarness(host(), { settings: { image: "fleetfoot-bash-and-git" } });
      const environment = await harness.prepare();
      expect(await runScript(environment, "echo ${BASH_VERSION:+bash}")).toMatchObject({ stdout: "bash\n" });
      await release(environment);
    });

    it("JE 7, JE 8: find the files of the one before, and neither its variables nor its directory", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare();
      await runScript(environment, "echo x > /tmp/f; export A=1; cd /tmp");
      expect(await runScript(environment, 'cat /tmp/f; echo "[$A] $PWD"')).toMatchObject({ stdout: "x\n[] /\n" });
      await release(environment);
    });

    it("JE 36: fail with the engine's words in an image without a shell", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "no-shell", ["ENV PATH=/nowhere"]);
      await using harness = await openHarness(host(), { settings: { image: "no-shell" } });
      const environment = await harness.prepare();
      await expect(runScript(environment, "true")).rejects.toThrow(/refused to start a container: .*sh/);
      await release(environment);
    });

    it("JE 37: go through the image's entrypoint, which a job can take away and an operator can forbid to", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "with-entrypoint", [
        'ENTRYPOINT ["sh", "-c", "echo entry; exec \\"$0\\" \\"$@\\""]',
      ]);
      await using harness = await openHarness(host());
      const image = { name: "with-entrypoint" };
      const kept = await harness.prepare({ job: { image } });
      expect(await runScript(kept, "echo script")).toMatchObject({ stdout: "entry\nscript\n" });
      const cleared = await harness.prepare({ job: { image: { ...image, entrypoint: [""] } } });
      expect(await runScript(cleared, "echo script")).toMatchObject({ stdout: "script\n" });
      await using strict = await openHarness(host(), { settings: { disableEntrypointOverwrite: true } });
      const refused = await strict.prepare({ job: { image: { ...image, entrypoint: [""] } } });
      expect((await runScript(refused, "echo script")).stdout).toMatch(/^entry/);
      expect(strict.log).toContain("WARNING: Entrypoint override disabled");
      await Promise.all([kept, cleared, refused].map(release));
    });

    it.each([
      { what: "prints what it is given", entrypoint: ["echo", "entry:"] },
      { what: "prints what it reads", entrypoint: ["sh", "-c", "cat"] },
    ])("JE 37: fail where an entrypoint $what and ends with 0: the script has not run", async ({ entrypoint }) => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare({ job: { image: { name: "fleetfoot-busybox", entrypoint } } });
      await expect(runScript(environment, "echo script")).rejects.toThrow(ScriptNotRunError);
      await release(environment);
    });

    it("JE 37: have the exit code of an entrypoint that fails, with a warning that says whose it is", async () => {
      await using harness = await openHarness(host());
      const entrypoint = ["sh", "-c", "exit 9"];
      const environment = await harness.prepare({ job: { image: { name: "fleetfoot-busybox", entrypoint } } });
      expect(await runScript(environment, "echo script")).toMatchObject({ code: 9 });
      expect(harness.log.at(-1)).toMatch(/^WARNING: the script has not run: .* exit code 9 .*entrypoint: \[''\]/);
      await release(environment);
    });

    it("JE 48: print 20,000 single characters, all of which arrive", async () => {
      await using harness = await openHarness(host(), { settings: { image: "fleetfoot-bash-and-git" } });
      const environment = await harness.prepare();
      const { stdout } = await runScript(environment, "for ((i = 0; i < 20000; i++)); do printf x; done");
      expect(stdout).toBe("x".repeat(20_000));
      await release(environment);
    });

    it("JE 49: fail with the engine's message when the container cannot be started", async () => {
      await using harness = await openHarness(host(), { settings: { devices: ["/dev/no-such-device"] } });
      const environment = await harness.prepare();
      const failure = await runScript(environment, "true").catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(EngineResponseError);
      expect(String(failure)).toMatch(/no-such-device/);
      await release(environment);
    });
  });

  describe("stopping", () => {
    const startSleeping = async (environment: DockerEnvironment, script: string): Promise<AbortController> => {
      const stop = new AbortController();
      const stdout = new PassThrough();
      const exit = environment.run({ script, stdout, stderr: stdout, signal: stop.signal });
      await new Promise((resolve) => {
        stdout.once("data", resolve);
      });
      stop.abort(new Error("stopped by the test"));
      expect((await exit).code).not.toBe(0);
      return stop;
    };

    it("JE 17: ends a script with all its processes, and the next script still runs in the same container", async () => {
      await using harness = await openHarness(host(), { stopGraceMs: 60_000 });
      const environment = await harness.prepare();
      // With a grace of a minute only a process that obeys ends in the time of a test.
      await startSleeping(
        environment,
        "set -e\n(eval 'touch /tmp/here; sleep 600 & echo started; sleep 600') </dev/null\nexit 0\n",
      );
      expect(await runScript(environment, "ls /tmp/here; ps | grep -c 'sleep 600$'")).toMatchObject({
        stdout: "/tmp/here\n0\n",
      });
      await release(environment);
    });

    it("kills what does not listen to any signal", async () => {
      await using harness = await openHarness(host(), { stopGraceMs: 500 });
      const environment = await harness.prepare();
      await startSleeping(environment, "trap '' TERM INT\necho started\nwhile true; do sleep 600; done\n");
      await release(environment);
      expect(await containerNames(engine())).toEqual([]);
    });
  });

  describe("a connection that breaks", () => {
    it("JE 47: delivers the rest of the output once and the exit code, after the attached stream was destroyed", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      await using harness = await openHarness(proxy.host);
      const environment = await harness.prepare();
      // What an earlier script printed is in the same log, and must not come again.
      await runScript(environment, "echo earlier");
      const [stdout, stderr] = [new PassThrough(), new PassThrough()];
      let text = "";
      let cuts = 0;
      stdout.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (text.includes("line 20\n") && cuts === 0) cuts = proxy.cut(/attach/);
      });
      stderr.resume();
      const script =
        "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.02; done; printf 'no newline'; exit 3\n";
      const exit = await environment.run({ script, stdout, stderr, signal: soon() });
      expect(cuts).toBe(1);
      expect(exit.code).toBe(3);
      const lines = Array.from({ length: 60 }, (_, index) => `line ${index + 1}\n`).join("");
      expect(text).toBe(`${lines}no newline`);
      await release(environment);
    });

    it("delivers the exit code when every connection broke, the one that waits for it included", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      await using harness = await openHarness(proxy.host);
      const environment = await harness.prepare();
      const stdout = new PassThrough();
      let text = "";
      let cuts = 0;
      stdout.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (cuts === 0) cuts = proxy.cut(/./);
      });
      const script = "echo before; sleep 1; echo after; exit 3\n";
      const exit = await environment.run({ script, stdout, stderr: new PassThrough().resume(), signal: soon() });
      expect(cuts).toBeGreaterThanOrEqual(2);
      expect([exit.code, text]).toEqual([3, "before\nafter\n"]);
      await release(environment);
    });

    it("JE 50: runs a stage once more in a new container when somebody removes its container, if the job wants so", async () => {
      await using harness = await openHarness(host(), { workspace: "archive" });
      const environment = await harness.prepare({ variables: { EXECUTOR_JOB_SECTION_ATTEMPTS: "2" } });
      const { project } = environment.workspace.directories;
      await mkdir(project, { recursive: true });
      await writeFile(join(project, "file"), "still here");
      await environment.workspace.publish({ signal: soon() });
      const [stdout, stderr] = [new PassThrough(), new PassThrough()];
      let text = "";
      let removed = false;
      stdout.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (removed) return;
        removed = true;
        void containerNames(engine()).then(([name = ""]) =>
          engine().request({ method: "DELETE", path: `/containers${name}?force=1` }),
        );
      });
      const script =
        "f=/builds/group/project/file; if [ -e /builds/second ]; then cat $f; exit 4; fi; touch /builds/second; cat $f; sleep 600\n";
      const exit = await environment.run({ script, stdout, stderr: stderr.resume(), signal: soon() });
      expect([exit.code, text]).toEqual([4, "still herestill here"]);
      expect(harness.log.at(-1)).toMatch(/^WARNING: the container .* was removed .*Retrying/);
      await release(environment);
    });

    it("warns of a number of tries that is not from 1 to 10", async () => {
      await using harness = await openHarness(host());
      await release(await harness.prepare({ variables: { EXECUTOR_JOB_SECTION_ATTEMPTS: "50" } }));
      expect(harness.log).toContain(
        'WARNING: EXECUTOR_JOB_SECTION_ATTEMPTS: "50" is no number from 1 to 10; 10 is used',
      );
    });

    it("fails clearly when the container is removed and the job wants one try", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare();
      const stdout = new PassThrough();
      stdout.once("data", () => {
        void containerNames(engine()).then(([name = ""]) =>
          engine().request({ method: "DELETE", path: `/containers${name}?force=1` }),
        );
      });
      const run = environment.run({ script: "echo x; sleep 600\n", stdout, stderr: stdout, signal: soon() });
      await expect(run).rejects.toBeInstanceOf(ContainerLostError);
      await release(environment);
    });
  });

  describe("images", () => {
    it("JE 41: tries the next policy when the registry does not answer, and says so", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", `${engine().hostAddress}:9/there`, []);
      await using harness = await openHarness(host(), {
        settings: { image: `${engine().hostAddress}:9/there`, pullPolicy: ["always", "if-not-present"] },
        sleep: () => Promise.resolve(),
      });
      await release(await harness.prepare());
      const log = harness.log.join("\n");
      expect(log).toMatch(/WARNING: Failed to pull image with policy "always": .*connection refused/);
      expect(log).toContain('Attempt #2: Trying "if-not-present" pull policy');
    });

    it("says how to get an image whose registry the engine does not reach", async () => {
      const image = `${engine().hostAddress}:9/missing:1`;
      const settings = { image, pullPolicy: ["if-not-present"] };
      await using harness = await openHarness(host(), { settings, sleep: () => Promise.resolve() });
      const failure = await harness.prepare().catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "image-pull", failureReason: "runner_external_dependency_failure" });
      expect(String(failure)).toContain(
        `by "docker pull ${image}" when it does, or from another host by "docker save"`,
      );
    });

    it("calls a platform that the image does not have a mistake that no further try mends", async () => {
      await using harness = await openHarness(host());
      const image = { name: "fleetfoot-busybox:latest", executor_opts: { docker: { platform: "linux/s390x" } } };
      const failure = await harness.prepare({ job: { image } }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(DockerConfigurationError);
      expect(String(failure)).toMatch(/wanted linux\/s390x.*leave out the platform linux\/s390x/);
      expect(failure).toMatchObject({ retryable: false });
    });

    it("gives an image that cannot be had its own error, with the reason that fits", async () => {
      const order: JobOrder = { job: { image: { name: "no-such-image", pull_policy: ["never"] } } };
      await using harness = await openHarness(host(), { settings: { pullPolicy: ["never"] } });
      const failure = await harness.prepare(order).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ImagePullError);
      expect(failure).toMatchObject({ failureReason: "runner_configuration_error", retryable: false });
      expect(await volumeNames(engine())).toEqual([]);
    });

    it.each(["../containers/json?all=1#", "a/../../events?x", "Foo Bar:::", "Busybox"])(
      "asks the engine nothing about %j, which is no name of an image",
      async (name) => {
        await using harness = await openHarness(host());
        for (const job of [{ image: { name } }, { services: [{ name }] }] as const) {
          const failure = await harness.prepare({ job }).catch((error: unknown) => error);
          expect(failure).toBeInstanceOf(ImagePullError);
          expect(failure).toMatchObject({ failureReason: "runner_configuration_error", retryable: false });
          expect(String(failure)).toContain("is not the name of an image");
        }
        expect(await volumeNames(engine())).toEqual([]);
      },
    );

    it("counts settings that the engine does not take as the configuration's fault, which no further try mends", async () => {
      await using harness = await openHarness(host(), { settings: { memory: "1k" } });
      const failure = await harness.prepare().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(DockerConfigurationError);
      expect(String(failure)).toMatch(/memory/i);
    });

    it("refuses a job without any image, and a builds directory in place of everything", async () => {
      await using harness = await openHarness(host(), { settings: { image: undefined } });
      await expect(harness.prepare()).rejects.toThrow(DockerConfigurationError);
    });
  });

  describe.each(["archive", "shared-directory"] as const)("a workspace by %s", (workspace) => {
    it("gives scripts the files of this host, and this host the named files of the scripts", async () => {
      await using harness = await openHarness(host(), { workspace });
      const environment = await harness.prepare();
      const { directories, publish, collect } = environment.workspace;
      await mkdir(join(directories.project, "bin"), { recursive: true });
      await writeFile(join(directories.project, "bin/tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
      await mkdir(directories.temporary, { recursive: true });
      await writeFile(join(directories.temporary, "SECRET"), "file variable");
      await publish({ signal: soon() });
      const script =
        "cd /builds/group/project; bin/tool; cat ../project.tmp/SECRET; mkdir -p out/deep other .git; echo made > out/deep/file; " +
        "ln -s file out/deep/link; touch other/file .git/planted; echo NAME=value > ../project.tmp/gitlab_runner_env";
      expect(await runScript(environment, script)).toMatchObject({ code: 0, stdout: "tool\nfile variable" });
      await collect({ paths: ["out", ".git"], signal: soon() });
      expect(await readFile(join(directories.project, "out/deep/link"), "utf8")).toBe("made\n");
      expect(await readFile(join(directories.temporary, "gitlab_runner_env"), "utf8")).toBe("NAME=value\n");
      expect(await readdir(directories.project)).not.toContain("other");
      await collect({ signal: soon() });
      expect(await readdir(directories.project)).toContain("other");
      expect(await readdir(join(directories.project, ".git")).catch(() => [])).not.toContain("planted");
      await release(environment);
      expect(await readdir(join(harness.hostDirectory, "builds"))).toEqual([]);
      expect(await readdir(join(harness.hostDirectory, "shared")).catch(() => [])).toEqual([]);
      expect(await volumeNames(engine())).toEqual([]);
    });

    it("leaves alone what scripts have changed when more files are sent, and sends a repository again only if it changed here", async () => {
      await using harness = await openHarness(host(), { workspace });
      const environment = await harness.prepare({ keepsWorkingCopy: true });
      const { directories, publish } = environment.workspace;
      await mkdir(join(directories.project, ".git"), { recursive: true });
      await writeFile(join(directories.project, ".git/HEAD"), "of the host");
      await writeFile(join(directories.project, "source"), "of the host");
      await publish({ signal: soon() });
      const hook = "cd /builds/group/project; echo of the hook | tee source .git/HEAD";
      expect(await runScript(environment, hook)).toMatchObject({ code: 0 });
      await writeFile(join(directories.project, "restored"), "of a cache");
      await publish({ signal: soon() });
      const read = "cd /builds/group/project; cat source .git/HEAD restored";
      expect(await runScript(environment, read)).toMatchObject({ stdout: "of the hook\nof the hook\nof a cache" });
      await writeFile(join(directories.project, ".git/HEAD"), "fetched\n");
      await publish({ signal: soon() });
      expect(await runScript(environment, read)).toMatchObject({ stdout: "of the hook\nfetched\nof a cache" });
      await release(environment);
    });

    it("never follows a link of the scripts on this host", async () => {
      await using harness = await openHarness(host(), { workspace });
      const environment = await harness.prepare();
      const { directories, publish, collect } = environment.workspace;
      await writeFile(join(harness.hostDirectory, "secret"), "of the host");
      await publish({ signal: soon() });
      const script =
        `cd /builds/group/project; ln -s ${harness.hostDirectory} stolen; ln -s /etc outside; ` +
        `rm -f ../project.tmp/gitlab_runner_env; ln -s ${harness.hostDirectory}/secret ../project.tmp/gitlab_runner_env`;
      expect(await runScript(environment, script)).toMatchObject({ code: 0 });
      await collect({ paths: ["stolen/secret", "outside"], signal: soon() });
      const found = await readdir(directories.project, { recursive: true });
      expect(found.filter((name) => name.includes("secret"))).toEqual([]);
      expect(found).not.toContain("outside");
      expect(await readFile(join(directories.temporary, "gitlab_runner_env"), "utf8").catch(() => "none")).toBe("none");
      expect(await readFile(join(harness.hostDirectory, "secret"), "utf8")).toBe("of the host");
      await release(environment);
    });

    it("JE 45: lets a user of the image write into the project", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "as-nobody", ["USER 65534"]);
      await using harness = await openHarness(host(), { workspace, settings: { image: "as-nobody" } });
      // One that stood open before is closed.
      await mkdir(join(harness.hostDirectory, "shared"));
      await chmod(join(harness.hostDirectory, "shared"), 0o755);
      const environment = await harness.prepare();
      const { directories, publish } = environment.workspace;
      await mkdir(join(directories.project, "source"), { recursive: true });
      await writeFile(join(directories.project, "source/file"), "old", { mode: 0o600 });
      await publish({ signal: soon() });
      const script =
        "cd /builds/group/project; id -u; cat source/file; echo new > source/file; touch made ../project.tmp/made";
      expect(await runScript(environment, script)).toMatchObject({ code: 0, stdout: "65534\nold" });
      // Nobody else of this host gets to what everybody in the container may write.
      const folders = workspace === "shared-directory" ? ["builds", "shared"] : ["builds"];
      for (const folder of folders) {
        const closed = await stat(join(harness.hostDirectory, folder));
        expect([folder, closed.mode & 0o777]).toEqual([folder, 0o700]);
      }
      await release(environment);
    });

    it("keeps nothing but the repository for the next job of the same project and number", async () => {
      await using harness = await openHarness(host(), { workspace });
      const first = await harness.prepare({ keepsWorkingCopy: true });
      const { project } = first.workspace.directories;
      await mkdir(join(project, ".git"), { recursive: true });
      await writeFile(join(project, ".git/HEAD"), "mine");
      await writeFile(join(project, "source"), "mine");
      await first.workspace.publish({ signal: soon() });
      await runScript(
        first,
        "cd /builds/group/project; echo planted > .git/HEAD; mkdir sub; echo gitdir: /evil > sub/.git",
      );
      await first.workspace.collect({ signal: soon() });
      await release(first);
      const second = await harness.prepare({ keepsWorkingCopy: true });
      expect(second.workspace.directories.project).toBe(project);
      expect(await readdir(project)).toEqual([".git"]);
      expect(await readFile(join(project, ".git/HEAD"), "utf8")).toBe("mine");
      await release(second);
      const other = await harness.prepare({ keepsWorkingCopy: true, job: { cache: [{ key: "k-protected" }] } });
      expect(other.workspace.directories.project).not.toBe(project);
      await release(other);
    });
  });

  describe("volumes and networks", () => {
    it("are kept for the next job of the same project and number, writable for everybody", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "as-nobody", ["USER 65534"]);
      await using harness = await openHarness(host(), { settings: { image: "as-nobody", volumes: ["/cache"] } });
      const first = await harness.prepare();
      expect(await runScript(first, "echo kept > /cache/file")).toMatchObject({ code: 0 });
      await release(first);
      const second = await harness.prepare();
      expect(await runScript(second, "cat /cache/file")).toMatchObject({ stdout: "kept\n" });
      await release(second);
      const isProtected = await harness.prepare({
        job: { git_info: { sha: "0", ref: "main", protected: true } },
      });
      expect(await runScript(isProtected, "ls /cache")).toMatchObject({ stdout: "" });
      await release(isProtected);
      for (const name of await volumeNames(engine())) {
        await engine().request({ method: "DELETE", path: `/volumes/${name}` });
      }
    });

    it("are writable for everybody in a directory of the engine's host, and one to be read only is no obstacle", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "as-nobody", ["USER 65534"]);
      await using harness = await openHarness(host());
      await using kept = await openHarness(host(), {
        settings: {
          image: "as-nobody",
          volumes: ["/cache", "/seen:ro"],
          cacheDirectory: `${harness.hostDirectory}/kept`,
        },
      });
      const environment = await kept.prepare();
      expect(await runScript(environment, "echo kept > /cache/file; touch /seen/file")).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("Read-only") as unknown,
      });
      expect(await runScript(environment, "cat /cache/file")).toMatchObject({ stdout: "kept\n" });
      await release(environment);
    });

    it("replaces a network of the same name that an earlier try has left", async () => {
      await using harness = await openHarness(host());
      const order = { job: { id: 990_001 }, variables: { FF_NETWORK_PER_BUILD: "true" } };
      const lost = await harness.prepare(order);
      const again = await harness.prepare(order);
      expect(await runScript(again, "ping -c 1 build")).toMatchObject({ code: 0 });
      await release(again);
      await release(lost);
    });

    it("are mounted at paths with a colon as well, and so are files of a host directory with one", async () => {
      const folder = await mkdtemp(join(tmpdir(), "with:colon-"));
      await using harness = await openHarness(host(), {
        hostDirectory: folder,
        workspace: "shared-directory",
        settings: { volumes: ["/kept/$NAME"], disableCache: true },
      });
      const environment = await harness.prepare({ variables: { NAME: "a:b" } });
      const { project } = environment.workspace.directories;
      await mkdir(project, { recursive: true });
      await writeFile(join(project, "file"), "here");
      await environment.workspace.publish({ signal: soon() });
      const script = "cat /builds/group/project/file; touch /kept/a:b/x; mount | grep -c ' /kept/a:b '";
      expect(await runScript(environment, script)).toMatchObject({ code: 0, stdout: "here1\n" });
      await release(environment);
      await rm(folder, { recursive: true });
    });

    it("gives a job with FF_NETWORK_PER_BUILD a network of its own, which goes with it", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare({ variables: { FF_NETWORK_PER_BUILD: "true" } });
      const name = (await networkNames(engine())).find((network) => network.startsWith("runner-"));
      expect(environment.variables["CI_BUILD_NETWORK_NAME"]).toBe(name);
      expect(await runScript(environment, "ping -c 1 build")).toMatchObject({ code: 0 });
      await release(environment);
      expect(await networkNames(engine())).not.toContain(name);
    });
  });

  describe("services", () => {
    const listening = (port: number): readonly string[] => ["httpd", "-f", "-p", String(port), "-h", "/etc"];

    it("JE 38: are reached by the two forms of their path and by their aliases, in both kinds of networks", async () => {
      const name = "registry.example.com:4999/valkey/valkey:8";
      await deriveImage(engine(), "fleetfoot-busybox", "registry.example.com:4999/valkey/valkey", ["EXPOSE 6379"]);
      await engine().request({
        method: "POST",
        path: `/images/registry.example.com:4999/valkey/valkey/tag?repo=registry.example.com:4999/valkey/valkey&tag=8`,
      });
      await using harness = await openHarness(host());
      const job = { services: [{ name, alias: "a,b c", command: listening(6379) }] };
      for (const perBuild of ["false", "true"]) {
        const environment = await harness.prepare({ job, variables: { FF_NETWORK_PER_BUILD: perBuild } });
        const names = "registry.example.com__valkey__valkey registry.example.com-valkey-valkey a b c";
        const { stdout, stderr } = await runScript(
          environment,
          `for name in ${names}; do wget -q -O - http://$name:6379/nsswitch.conf; done`,
        );
        expect([stdout, stderr]).toEqual(["hosts: files dns\n".repeat(5), ""]);
        await release(environment);
      }
      expect(harness.log.join("\n")).not.toContain("probably didn't start");
      expect(await containerNames(engine())).toEqual([]);
    });

    it("JE 39: only warn, with their log, when they never listen", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "never-listens", ["EXPOSE 5432"]);
      await using harness = await openHarness(host(), { settings: { waitForServicesTimeout: 1 } });
      const service = { name: "never-listens", command: ["sh", "-c", "echo starting slowly; sleep 600"] };
      const environment = await harness.prepare({ job: { services: [service] } });
      expect(await runScript(environment, "echo job runs")).toMatchObject({ stdout: "job runs\n" });
      await release(environment);
      const log = harness.log.join("\n");
      expect(log).toMatch(/WARNING: \*\*\* Service runner-.* probably didn't start properly/);
      expect(log).toMatch(/nothing listens on port 5432 after 1 s[^]*starting slowly/);
    });

    it("are waited for by their own health check", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "healthy-later", [
        "HEALTHCHECK --interval=100ms CMD test -e /tmp/ready",
      ]);
      await using harness = await openHarness(host());
      const service = {
        name: "healthy-later",
        alias: "later",
        command: ["sh", "-c", "sleep 0.5; touch /tmp/ready; sleep 600"],
      };
      const environment = await harness.prepare({ job: { services: [service] } });
      const answer = await engine().request({ method: "GET", path: "/containers/json" });
      expect(answer.text).toContain("(healthy)");
      await release(environment);
      expect(harness.log.join("\n")).not.toContain("probably didn't start");
    });

    it("that are not healthy are told with the last words of their health check, and its exit code", async () => {
      const check = 'HEALTHCHECK --interval=200ms --retries=1 CMD echo first; echo "no route to the data"; exit 3';
      await deriveImage(engine(), "fleetfoot-busybox", "never-healthy", ['CMD ["sleep", "600"]', check]);
      await using harness = await openHarness(host());
      const environment = await harness.prepare({ job: { services: [{ name: "never-healthy" }] } });
      const log = harness.log.join("\n");
      expect(log).toMatch(/Health check error: service ".*": its health check fails with exit code 3\n/);
      expect(log).toContain("Health check output:\nfirst\nno route to the data\n");
      await release(environment);
    });

    it("see public variables and their own, and no other", async () => {
      await using harness = await openHarness(host(), { settings: { waitForServicesTimeout: -1 } });
      const service = {
        name: "fleetfoot-busybox",
        command: ["sleep", "600"],
        variables: [{ key: "OWN", value: "$SHOWN!" }],
      };
      const environment = await harness.prepare({
        job: { services: [service] },
        variables: { SHOWN: "yes", HIDDEN: "secret" },
        publicVariables: ["SHOWN"],
      });
      const name = (await containerNames(engine())).find((container) => container.endsWith("-0"));
      const answer = await engine().request({ method: "GET", path: `/containers${name}/json` });
      const { Config: config } = answer.json() as { readonly Config: { readonly Env: readonly string[] } };
      expect(config.Env).toEqual(expect.arrayContaining(["SHOWN=yes", "OWN=yes!"]));
      expect(config.Env.join("\n")).not.toContain("secret");
      await release(environment);
    });

    it("leave nothing behind when one of them fails, whatever the others are doing then", async () => {
      await using harness = await openHarness(host(), { settings: { waitForServicesTimeout: -1 } });
      const sleeping = { name: "fleetfoot-busybox", command: ["sleep", "600"] };
      const others = Array.from({ length: 5 }, (_, index) => ({ ...sleeping, alias: `other-${index}` }));
      // The engine refuses it at once, while it still makes the others.
      const failing = { ...sleeping, alias: "failing", executor_opts: { docker: { platform: "linux/s390x" } } };
      await expect(harness.prepare({ job: { services: [failing, ...others] } })).rejects.toThrow(/platform/);
      await release(await harness.prepare());
      expect(await containerNames(engine())).toEqual([]);
    });

    it("run as a user whom the runner allows, named by a variable, or not at all", async () => {
      await using harness = await openHarness(host(), {
        settings: { waitForServicesTimeout: -1, allowedUsers: ["1000"] },
      });
      const service = (user: string): NonNullable<JobOrder["job"]> => ({
        services: [{ name: "fleetfoot-busybox", command: ["sleep", "600"], executor_opts: { docker: { user } } }],
      });
      await expect(harness.prepare({ job: service("root") })).rejects.toThrow(/"root" is not an allowed user/);
      const environment = await harness.prepare({ job: service("$WHO"), variables: { WHO: "1000" } });
      const name = (await containerNames(engine())).find((container) => container.endsWith("-0"));
      const answer = await engine().request({ method: "GET", path: `/containers${name}/json` });
      expect(answer.json()).toMatchObject({ Config: { User: "1000" } });
      await release(environment);
    });

    it("are refused beyond the runner's limit, and one whose names are all taken is not started", async () => {
      await using limited = await openHarness(host(), { settings: { servicesLimit: 1 } });
      const service = { name: "fleetfoot-busybox", command: ["sleep", "600"] };
      await expect(limited.prepare({ job: { services: [service, service] } })).rejects.toThrow(/services_limit/);
      await using harness = await openHarness(host(), { settings: { waitForServicesTimeout: -1 } });
      const environment = await harness.prepare({ job: { services: [service, service] } });
      expect((await containerNames(engine())).length).toBe(2);
      await release(environment);
    });
  });

  describe("the sweep", () => {
    it("goes on when something cannot be removed, keeps anonymous volumes if it is told to, and tells what was left", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "with-volume", ["VOLUME /data"]);
      const settings = { image: "with-volume", volumeKeep: true };
      await using harness = await openHarness(host(), { settings, workspace: "archive" });
      const stuck = await harness.prepare();
      const volume = (await volumeNames(engine())).find((name) => name.startsWith("runner-")) ?? "";
      // A container of somebody else holds the job's volume.
      const holder = await engine().request({
        method: "POST",
        path: "/containers/create",
        body: { Image: "fleetfoot-busybox", Cmd: ["true"], HostConfig: { Binds: [`${volume}:/held`] } },
      });
      const other = await harness.prepare({ concurrentProjectId: 1 });
      const own = (await volumeNames(engine())).find((name) => name.startsWith("runner-") && name !== volume) ?? "";
      await using next = await openHarness(host(), { settings, hostDirectory: harness.hostDirectory });
      await expect(next.executor.sweep({ signal: soon() })).rejects.toThrow(/1 things could not be removed.*in use/);
      const left = await volumeNames(engine());
      expect([left.includes(volume), left.includes(own)]).toEqual([true, false]);
      // Those of the two containers.
      expect(left.filter((name) => !name.startsWith("runner-"))).toHaveLength(2);
      const { Id: id } = holder.json() as { readonly Id: string };
      await engine().request({ method: "DELETE", path: `/containers/${id}` });
      await release(stuck);
      await release(other);
      for (const name of await volumeNames(engine())) {
        await engine().request({ method: "DELETE", path: `/volumes/${name}` });
      }
    });

    it("JE 51: removes what jobs of this runner have left, and nothing of running jobs and of other runners", async () => {
      await using harness = await openHarness(host(), { settings: { volumes: ["/cache"] }, workspace: "archive" });
      await using other = await openHarness(host(), {
        runner: { token: { reveal: () => "glrt-other" }, shortToken: "other", systemId: "s_0123456789ab" },
        workspace: "archive",
      });
      const variables = { FF_NETWORK_PER_BUILD: "true" };
      const lost = await harness.prepare({ variables });
      const foreign = await other.prepare({ variables });
      // A new process knows nothing of the job.
      await using next = await openHarness(host(), { hostDirectory: harness.hostDirectory });
      const running = await next.prepare({ concurrentProjectId: 1 });
      expect(await next.executor.sweep({ signal: soon() })).toEqual({ containers: 1, networks: 1, volumes: 1 });
      expect((await containerNames(engine())).length).toBe(2);
      const names = await volumeNames(engine());
      expect(names.filter((name) => name.startsWith("runner-d6fe"))).toHaveLength(1);
      expect(await runScript(running, "echo still runs")).toMatchObject({ stdout: "still runs\n" });
      expect(await runScript(foreign, "echo mine too")).toMatchObject({ stdout: "mine too\n" });
      await release(running);
      expect(await next.executor.sweep({ signal: soon() })).toEqual({ containers: 0, networks: 0, volumes: 0 });
      expect(await readdir(join(harness.hostDirectory, "builds"))).toEqual([]);
      await release(foreign);
      await release(lost);
      for (const name of await volumeNames(engine())) {
        await engine().request({ method: "DELETE", path: `/volumes/${name}` });
      }
    });
  });
});
