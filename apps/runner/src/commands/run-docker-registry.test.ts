import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type DockerEngine, importImage, makeCertificateFolder, startRegistry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { NewJob } from "@fleetfoot/local-coordinator";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { dockerJob, dockerWorld, NO_SOURCES } from "../testing/docker-world.ts";
import { type GitlabRegistry, startGitlabRegistry } from "../testing/gitlab-registry.ts";

const PASSWORD = "glcbt-64_pAsswOrdOfTheTest";

describeWithSystem("docker-engine", (engine) => {
  const open = new AsyncDisposableStack();
  let gitlab: GitlabRegistry;
  beforeAll(async () => {
    const host = engine().hostAddress;
    const registry = open.use(await startRegistry({ host }));
    await push(engine(), await importImage(engine()), `${registry.authority}/library/tool`);
    const certificates = open.use(await makeCertificateFolder());
    const pair = await (await certificates.makeAuthority("gitlab")).issue(`IP:${host}`);
    gitlab = open.use(await startGitlabRegistry({ host, upstream: registry.endpoint, password: PASSWORD, ...pair }));
  });
  afterAll(() => open.disposeAsync());

  /** As an instance sends it: the login always has a port. */
  function order(image: string, password = PASSWORD, variables: NonNullable<NewJob["variables"]> = []): NewJob {
    const server = `${engine().hostAddress}:443`;
    const prefix = `${server}/group/dependency_proxy/containers`;
    return dockerJob(["echo in the image"], {
      image: { name: image, pull_policy: ["always"] },
      variables: [
        NO_SOURCES,
        { key: "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX", value: prefix, public: true },
        { key: "CI_DEPENDENCY_PROXY_PASSWORD", value: password, masked: true },
        ...variables,
      ],
      credentials: [{ type: "registry", url: server, username: "gitlab-ci-token", password }],
    });
  }

  const anyPolicy = 'allowed_pull_policies = ["always", "if-not-present"]';

  describe("images of a GitLab instance in fleetfoot run", () => {
    it.each([
      [
        "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX, which has a port",
        () => "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/tool",
      ],
      [
        "a virtual registry, which has none",
        () => `${engine().hostAddress}/virtual_registries/container/1/tool:latest`,
      ],
    ])("RM G10: come by %s, with the login of the job's payload", async (_, image) => {
      await using world = await dockerWorld(engine(), { settings: anyPolicy });
      const runner = world.start();
      const before = gitlab.tokenRequests.length;
      const view = await world.coordinator.addJob(order(image())).finished;
      const log = await world.linesOf(view);
      expect([view.status, log]).toEqual(["success", expect.stringMatching(/^in the image$/m)]);
      expect(log).toContain("Authenticating with credentials from job payload (GitLab Registry)");
      const asked = gitlab.tokenRequests.slice(before);
      expect(asked.length).toBeGreaterThan(0);
      for (const request of asked) {
        expect(request).toEqual({ user: "gitlab-ci-token", password: PASSWORD, service: "dependency_proxy" });
      }
      expect(await runner.finish()).toBe(0);
      for (const text of [log, runner.context.complained()]) expect(text).not.toContain(PASSWORD);
    });

    it("RM C10: come past the engine's mirror, which no login of theirs reaches", async () => {
      const asked: { readonly target: string; readonly authorization: string | undefined }[] = [];
      const mirror = createServer(({ headers, url = "" }, response) => {
        asked.push({ target: url, authorization: headers.authorization });
        response.writeHead(url === "/v2/" ? 200 : 404).end();
      }).listen(0, engine().hostAddress);
      await once(mirror, "listening");
      const url = `http://${engine().hostAddress}:${(mirror.address() as AddressInfo).port}`;
      const restore = await useMirror(engine(), url);
      try {
        await using world = await dockerWorld(engine(), { settings: anyPolicy });
        world.start();
        const before = gitlab.tokenRequests.length;
        const image = "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/tool";
        const view = await world.coordinator.addJob(order(image)).finished;
        expect([view.status, await world.linesOf(view)]).toEqual(["success", expect.stringMatching(/^in the image$/m)]);
        expect(gitlab.tokenRequests.slice(before)).toContainEqual({
          user: "gitlab-ci-token",
          password: PASSWORD,
          service: "dependency_proxy",
        });
        expect(asked).toEqual([]);
      } finally {
        await restore();
        mirror.closeAllConnections();
        mirror.close();
      }
    });

    it.each([
      [404, /GitLab answers 404 for \S+\/tool:latest when .* no member of the group/],
      [403, /GitLab answers 403 for \S+\/tool:latest when/],
      [503, /Failed to pull image with policy "always": .*503/],
    ])("RM G11: fail with words about status %d", async (status, words) => {
      await using world = await dockerWorld(engine(), { settings: anyPolicy });
      world.start();
      gitlab.refusal = status;
      try {
        const image = "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/tool:latest";
        const view = await world.coordinator.addJob(order(image)).finished;
        const log = await world.linesOf(view);
        expect(log).toMatch(words);
        expect(log).toMatch(/failed to pull image "\S+\/group\/dependency_proxy\/containers\/tool:latest"/);
        expect(view).toMatchObject({ status: "failed", failureReason: "image_pull_failure" });
      } finally {
        gitlab.refusal = undefined;
      }
    });

    it("are the configuration's fault when the login does not open them, and the password is in no log", async () => {
      await using world = await dockerWorld(engine(), { settings: anyPolicy });
      const runner = world.start();
      const other = "glcbt-64_anotherPassword";
      const view = await world.coordinator.addJob(order("$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/tool", other))
        .finished;
      expect(view).toMatchObject({ status: "failed", failureReason: "runner_configuration_error" });
      const log = await world.linesOf(view);
      expect(log).toContain("/group/dependency_proxy/containers/tool");
      expect(await runner.finish()).toBe(0);
      for (const text of [log, runner.context.complained()]) expect(text).not.toContain(other);
    });

    it("take the place of Docker Hub's where the runner's FLEETFOOT_IMAGE_PREFIX says so, by the name that is allowed", async () => {
      const runner = 'environment = ["FLEETFOOT_IMAGE_PREFIX=$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"]';
      await using world = await dockerWorld(engine(), {
        settings: `${anyPolicy}\nallowed_images = ["tool:*"]`,
        runner,
      });
      world.start();
      const view = await world.coordinator.addJob(order("tool:latest")).finished;
      const log = await world.linesOf(view);
      expect([view.status, log]).toEqual(["success", expect.stringMatching(/^in the image$/m)]);
      expect(log).toMatch(/Image tool:latest is taken from \S+:443\/group\/dependency_proxy\/containers\/tool:latest/);
    });

    it("come from nowhere else because a job says so", async () => {
      const runner = 'environment = ["FLEETFOOT_IMAGE_PREFIX=$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"]';
      await using world = await dockerWorld(engine(), {
        settings: `${anyPolicy}\nallowed_images = ["tool:*"]`,
        runner,
      });
      world.start();
      const elsewhere = "evil.example/x/dependency_proxy/containers";
      for (const key of ["FLEETFOOT_IMAGE_PREFIX", "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"]) {
        const view = await world.coordinator.addJob(order("tool:latest", PASSWORD, [{ key, value: elsewhere }]))
          .finished;
        const log = await world.linesOf(view);
        expect(log).not.toContain(`taken from ${elsewhere}`);
        if (key === "FLEETFOOT_IMAGE_PREFIX") continue;
        expect(view).toMatchObject({ status: "failed", failureReason: "runner_configuration_error" });
        expect(log).toContain("is no Dependency Proxy that the job has a login for");
      }
    });
  });
});

/** Gives an engine a mirror; the result takes it away again. */
async function useMirror(engine: DockerEngine, url: string): Promise<() => Promise<void>> {
  const file = join(engine.folder, "daemon.json");
  const before = await readFile(file, "utf8");
  const write = async (text: string, isThere: (info: string) => boolean): Promise<void> => {
    await writeFile(file, text);
    process.kill(await engine.daemonProcessId(), "SIGHUP");
    await vi.waitFor(async () => {
      const { text: info } = await engine.request({ method: "GET", path: "/info" });
      expect(isThere(info)).toBe(true);
    }, 20_000);
  };
  const settings = JSON.parse(before) as Readonly<Record<string, unknown>>;
  await write(JSON.stringify({ ...settings, "registry-mirrors": [url] }), (info) => info.includes(url));
  return () => write(JSON.stringify({ ...settings, "registry-mirrors": [] }), (info) => !info.includes(url));
}

/** Brings an image of the engine into a registry. */
async function push(engine: DockerEngine, image: string, target: string): Promise<void> {
  await engine.request({ method: "POST", path: `/images/${image}/tag?repo=${target}&tag=latest` });
  const headers = { "x-registry-auth": Buffer.from("{}").toString("base64") };
  const pushed = await engine.request({ method: "POST", path: `/images/${target}/push?tag=latest`, headers });
  if (pushed.status !== 200 || pushed.text.includes('"error"')) throw new Error(`push: ${pushed.text}`);
}
