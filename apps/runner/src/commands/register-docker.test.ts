import { readFile } from "node:fs/promises";
import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { DOCKER_KEYS, lintRunnerConfig, parseRunnerConfig, type RunnerDocker } from "@fleetfoot/runner-config";
import { beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../cli.ts";
import { dockerOptionName, dockerOptions } from "../docker-options.ts";
import { testContext, type TestContext } from "../testing/context.ts";
import { dockerJob, volumesOf } from "../testing/docker-world.ts";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

function words({ configPath, coordinator, server }: RunnerWorld, executor: string): readonly string[] {
  const { token } = coordinator.createRunner();
  return ["register", "-c", configPath, "--url", server.url, "--token", token, "--executor", executor, "--name", "box"];
}

/** Runs a command with an environment, and with somebody who answers where answers are given. */
async function runWith(
  given: readonly string[],
  environment: Readonly<Record<string, string>>,
  answer?: (question: string) => string,
): Promise<TestContext & { readonly code: number }> {
  const context = testContext({ environment, workingDirectory: "/tmp", homeDirectory: "/tmp" });
  const ask = answer === undefined ? undefined : async (question: string): Promise<string> => answer(question);
  return { ...context, code: await runCli(given, { ...context, ask }) };
}

async function dockerSection({ configPath }: RunnerWorld): Promise<RunnerDocker | undefined> {
  const text = await readFile(configPath, "utf8");
  expect(lintRunnerConfig(text)).toEqual([]);
  return parseRunnerConfig(text).config?.runners[0]?.docker;
}

describe("fleetfoot register with --executor docker", () => {
  it("writes the section from the options, under the names that the reference has", async () => {
    await using world = await runnerWorld();
    const more =
      "--docker-image node:24 --docker-privileged --docker-pull-policy always --docker-pull-policy if-not-present";
    const others =
      "--docker-volumes /certs/client --docker-volumes /a:/b:ro --docker-shm-size 300000 --docker-tlsverify";
    const last = "--docker-allowed_users app --docker-services_privileged=false --docker-wait-for-services-timeout -1";
    const flags = `${more} ${others} ${last}`.replace("timeout -1", "timeout=-1").split(" ");
    const result = await world.command([...words(world, "docker"), "-n", ...flags]);
    expect([result.code, result.complained()]).toEqual([0, ""]);
    expect(await dockerSection(world)).toMatchObject({
      image: "node:24",
      privileged: true,
      servicesPrivileged: false,
      pullPolicy: ["always", "if-not-present"],
      volumes: ["/certs/client", "/a:/b:ro", "/cache"],
      shmSizeBytes: 300_000,
      tlsVerify: true,
      allowedUsers: ["app"],
      waitForServicesTimeout: -1,
      memory: undefined,
    });
  });

  it("asks for the image and nothing else about containers", async () => {
    await using world = await runnerWorld();
    const questions: string[] = [];
    const result = await runWith(words(world, "docker"), {}, (question) => {
      questions.push(question);
      return "alpine:3";
    });
    expect([result.code, questions]).toEqual([0, ["Image of jobs that name none (for example node:24): "]]);
    expect(await dockerSection(world)).toMatchObject({ image: "alpine:3", volumes: ["/cache"] });
  });

  it("fails without an image where nobody may be asked", async () => {
    await using world = await runnerWorld();
    const result = await runWith([...words(world, "docker"), "-n"], {});
    expect([result.code, result.complained()]).toEqual([1, expect.stringContaining("--docker-image is missing")]);
  });

  it("takes variables of the environment, with commas between the values of a list", async () => {
    await using world = await runnerWorld();
    const environment = {
      DOCKER_IMAGE: "ruby:3",
      DOCKER_HOST: "tcp://10.0.0.1:2376",
      DOCKER_CERT_PATH: "/certs",
      DOCKER_TLS_VERIFY: "true",
      DOCKER_VOLUMES: "/x:/cache, /y",
      DOCKER_DISABLE_CACHE: "false",
    };
    expect((await runWith([...words(world, "docker"), "-n"], environment)).code).toBe(0);
    expect(await dockerSection(world)).toMatchObject({
      image: "ruby:3",
      host: "tcp://10.0.0.1:2376",
      tlsCertificatePath: "/certs",
      tlsVerify: true,
      volumes: ["/x:/cache", "/y"],
      disableCache: false,
    });
  });

  it("adds no volume for caches where they are switched off", async () => {
    await using world = await runnerWorld();
    const flags = ["-n", "--docker-image", "x", "--docker-disable-cache"];
    expect((await world.command([...words(world, "docker"), ...flags])).code).toBe(0);
    expect(await dockerSection(world)).toMatchObject({ disableCache: true, volumes: undefined });
  });

  it("refuses what is no number, and says what has no effect with another executor", async () => {
    await using world = await runnerWorld();
    const wrong = await world.command([
      ...words(world, "docker"),
      "-n",
      "--docker-image",
      "x",
      "--docker-shm-size",
      "1g",
    ]);
    expect([wrong.code, wrong.complained()]).toEqual([
      1,
      expect.stringContaining("--docker-shm-size 1g is no whole number"),
    ]);
    const shell = await world.command([...words(world, "shell"), "-n", "--docker-image", "x", "--docker-privileged"]);
    expect(shell.complained()).toBe(
      "WARNING: --docker-image, --docker-privileged: no effect with the executor shell.\n",
    );
    expect(await dockerSection(world)).toBeUndefined();
  });

  it("refuses what no job could run with before it asks the instance, by the options' names", async () => {
    await using world = await runnerWorld();
    const flags = ["-n", "--docker-image", "x", "--docker-memory", "512", "--docker-pull-policy", "sometimes"];
    const result = await world.command([...words(world, "docker"), ...flags]);
    expect([result.code, result.complained()]).toEqual([
      1,
      expect.stringMatching(/--docker-pull-policy: unsupported .*\n--docker-memory: "512" is less than the 6m/),
    ]);
    expect(await readFile(world.configPath, "utf8").catch(() => "")).not.toContain("[[runners]]");
  });

  it("has an option for every key that is no table, of the same kind", () => {
    const kinds = DOCKER_KEYS.map(({ key, kind }) => [
      dockerOptionName(key),
      { type: kind === "boolean" ? "boolean" : "string", multiple: kind === "list" },
    ]);
    const options = Object.entries(dockerOptions).map(([name, { type, multiple = false }]) => [
      name,
      { type, multiple },
    ]);
    expect(Object.fromEntries(options)).toEqual(Object.fromEntries(kinds));
  });
});

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  it("fleetfoot run takes jobs for what fleetfoot register wrote, with the containers that it describes", async () => {
    await using world = await runnerWorld();
    const flags = ["--docker-host", engine().dockerHost, "--docker-image", "fleetfoot-busybox"];
    const more = ["--docker-pull-policy", "if-not-present", "--docker-extra-hosts", "there.example:10.9.8.7"];
    expect((await world.command([...words(world, "docker"), "-n", ...flags, ...more])).code).toBe(0);
    const runner = world.start();
    const script = ["grep there.example /etc/hosts", "mount | grep ' /cache '"];
    const view = await world.coordinator.addJob(dockerJob(script)).finished;
    const log = new TextDecoder().decode(await world.coordinator.readTrace(view.id));
    expect([view.status, log]).toEqual(["success", expect.stringContaining("10.9.8.7\tthere.example")]);
    expect(await volumesOf(engine())).toHaveLength(1);
    expect(await runner.finish()).toBe(0);
  });
});
