import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importImage, startRegistry } from "@fleetfoot-tooling/systems";
import type { Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem, startOrSkip } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestContext } from "vitest";
import { DockerExecutorError } from "../errors.ts";
import { openHarness, release, runScript } from "../test-support/harness.ts";
import type { DockerExecutorOptions, DockerJob } from "../types.ts";

const LOGIN = { username: "puller", password: "correct horse battery" };
const WRONG_PASSWORD = "wrong horse battery";

describeWithSystem("docker-engine", (engine) => {
  let registry: Registry;
  let image: string;
  let home: string;

  beforeEach(async (context: TestContext) => {
    home = await mkdtemp(join(tmpdir(), "login-"));
    registry = await startOrSkip(() => startRegistry({ host: engine().hostAddress, login: LOGIN }), context);
    image = `${registry.authority}/private/image`;
    await importImage(engine(), { reference: `${image}:latest` });
    const auth = Buffer.from(JSON.stringify({ ...LOGIN, serveraddress: registry.authority })).toString("base64");
    const headers = { "x-registry-auth": auth };
    const push = await engine().request({ method: "POST", path: `/images/${image}/push?tag=latest`, headers });
    expect(push.text).toContain("digest: sha256:");
    await engine().request({ method: "DELETE", path: `/images/${image}:latest` });
  });
  afterEach(async () => {
    await registry.stop();
    await rm(home, { recursive: true });
  });

  interface Sources {
    readonly variable?: string;
    readonly credentials?: DockerJob["credentials"];
    readonly options?: Partial<DockerExecutorOptions>;
  }

  /** @returns what the job logged, and what its preparation failed with */
  async function pull(sources: Sources): Promise<{ readonly log: string; readonly failure: unknown }> {
    await using harness = await openHarness(engine().dockerHost, {
      ...sources.options,
      settings: { image, pullPolicy: ["always"] },
    });
    let failure: unknown;
    try {
      const environment = await harness.prepare({
        ...(sources.variable === undefined ? {} : { variables: { DOCKER_AUTH_CONFIG: sources.variable } }),
        ...(sources.credentials === undefined ? {} : { job: { credentials: sources.credentials } }),
      });
      expect(await runScript(environment, "echo pulled")).toMatchObject({ stdout: "pulled\n" });
      await release(environment);
    } catch (error) {
      failure = error;
    }
    await engine().request({ method: "DELETE", path: `/images/${image}:latest` });
    return { log: harness.log.join("\n"), failure };
  }

  const auths = (password: string): string => {
    const auth = Buffer.from(`${LOGIN.username}:${password}`).toString("base64");
    return JSON.stringify({ auths: { [registry.authority]: { auth } } });
  };
  const payload = (password: string): DockerJob["credentials"] => [
    { type: "registry", url: registry.authority, username: LOGIN.username, password },
  ];
  const withFile = async (text: string): Promise<Partial<DockerExecutorOptions>> => {
    await mkdir(join(home, ".docker"), { recursive: true });
    await writeFile(join(home, ".docker/config.json"), text);
    return { homeDirectory: home, environment: { PATH: `${home}:/usr/bin:/bin` } };
  };
  const writeHelper = async (password: string): Promise<void> => {
    const path = join(home, "docker-credential-test");
    const answer = JSON.stringify({ Username: LOGIN.username, Secret: password });
    const list = JSON.stringify({ [registry.authority]: LOGIN.username });
    await writeFile(path, `#!/bin/sh\nif [ "$1" = list ]; then echo '${list}'; else echo '${answer}'; fi\n`);
    await chmod(path, 0o755);
  };
  const expectNoSecret = (text: string): void => {
    for (const password of [LOGIN.password, WRONG_PASSWORD]) {
      expect(text).not.toContain(password);
      expect(text).not.toContain(Buffer.from(`${LOGIN.username}:${password}`).toString("base64"));
    }
  };

  describe("a registry with access control", () => {
    it("gives its image by the login of each source, which the log names and never shows", async () => {
      await writeHelper(LOGIN.password);
      const file = await withFile(auths(LOGIN.password));
      const sources: readonly (readonly [name: string, Sources])[] = [
        ["$DOCKER_AUTH_CONFIG", { variable: auths(LOGIN.password) }],
        [join(home, ".docker/config.json"), { options: file }],
        ["job payload (GitLab Registry)", { credentials: payload(LOGIN.password) }],
      ];
      for (const [name, source] of sources) {
        const { log, failure } = await pull(source);
        expect(failure).toBeUndefined();
        expect(log).toContain(`Authenticating with credentials from ${name}`);
        expectNoSecret(log);
      }
      for (const config of [{ credHelpers: { [registry.authority]: "test" } }, { credsStore: "test" }]) {
        const { log, failure } = await pull({ options: await withFile(JSON.stringify(config)) });
        expect(failure).toBeUndefined();
        expect(log).toContain("Authenticating with credentials from");
        expectNoSecret(log);
      }
    });

    it("refuses a wrong password of any source and a job without one: the configuration's fault, told without the password", async () => {
      await writeHelper(WRONG_PASSWORD);
      const helper = await withFile(JSON.stringify({ credHelpers: { [registry.authority]: "test" } }));
      const sources: readonly Sources[] = [
        { variable: auths(WRONG_PASSWORD) },
        { options: helper },
        { credentials: payload(WRONG_PASSWORD) },
        {},
      ];
      for (const source of sources) {
        const { log, failure } = await pull(source);
        expect(failure).toMatchObject({ code: "image-pull", failureReason: "runner_configuration_error" });
        expect(DockerExecutorError.isInstance(failure)).toBe(true);
        expect(log).toMatch(/WARNING: Failed to pull image with policy "always": /);
        expectNoSecret(`${log}\n${String(failure)}\n${JSON.stringify(failure)}`);
      }
    });

    it("gives nothing when it has gone: the fault of what the runner depends on", async () => {
      await registry.stop();
      const { failure } = await pull({ credentials: payload(LOGIN.password) });
      expect(failure).toMatchObject({ failureReason: "runner_external_dependency_failure" });
    });
  });
});
