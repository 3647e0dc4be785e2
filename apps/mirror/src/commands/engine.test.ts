import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { importImage, requireProgram, startDockerEngine, startRegistry } from "@fleetfoot-tooling/systems";
import type { DockerEngine, Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";
import type { ChildMirror, CommandResult } from "../testing/process.ts";

const manifestType = "application/vnd.docker.distribution.manifest.v2+json";

describeWithSystem("docker-engine", () => {
  let engine: DockerEngine;
  let registry: Registry;

  beforeAll(async () => {
    engine = await startDockerEngine({ hosts: { "docker.io": "198.51.100.1", "registry-1.docker.io": "127.0.0.1" } });
    registry = await startRegistry({ host: engine.hostAddress });
    const reference = `${registry.authority}/library/app:one`;
    await importImage(engine, { reference });
    const pushed = await engine.request({
      method: "POST",
      path: `/images/${registry.authority}/library/app/push?tag=one`,
      headers: { "x-registry-auth": Buffer.from("{}").toString("base64") },
    });
    expect(pushed.text).toContain("digest: sha256:");
    await engine.request({ method: "DELETE", path: `/images/${reference}` });
    await importImage(engine, { reference: "sleeper:latest" });
  }, 60_000);

  afterAll(async () => {
    await registry.stop();
    await engine.stop();
  });

  /** Starts a container; resolves to its id. */
  async function startContainer(command: readonly string[]): Promise<string> {
    const body = { Image: "sleeper:latest", Cmd: command };
    const created = await engine.request({ method: "POST", path: "/containers/create", body });
    const { Id } = JSON.parse(created.text) as { readonly Id: string };
    expect((await engine.request({ method: "POST", path: `/containers/${Id}/start` })).status).toBe(204);
    return Id;
  }

  it("RM C4, RM D5: configure, doctor and a pull agree with a real engine, whose containers go on", async () => {
    await using mirror = await startMirror([
      "--data",
      join(engine.folder, "mirror"),
      "--upstream",
      registry.endpoint,
      "--listen",
      "0.0.0.0:0",
    ]);
    const advertised = `${engine.hostAddress}:${mirror.port}`;
    const examine = (): Promise<CommandResult> => doctor(mirror, advertised);

    const before = await examine();
    expect(before.code).toBe(1);
    expect(before.stdout).toContain(`ok   the mirror answers at http://${advertised}`);
    expect(before.stdout).toContain("--   no pull has come to the mirror since it was started");
    expect(before.stdout).toContain(
      `uses no mirror; fleetfoot-mirror configure dockerd --write --advertise ${advertised}`,
    );

    const container = await startContainer(["sleep", "600"]);
    const pidFile = join(engine.folder, "daemon.pid");
    await writeFile(pidFile, String(await engine.daemonProcessId()));
    const words = ["--advertise", advertised, "--file", join(engine.folder, "daemon.json"), "--pid-file", pidFile];
    const written = await runMirror([
      "configure",
      "dockerd",
      "--write",
      ...words,
      "--unit",
      join(engine.folder, "none"),
    ]);
    expect([written.code, written.stderr]).toEqual([0, ""]);
    // A reload has no answer.
    while (!(await engine.request({ method: "GET", path: "/info" })).text.includes(advertised)) await sleep(50);
    const inspected = await engine.request({ method: "GET", path: `/containers/${container}/json` });
    expect(JSON.parse(inspected.text)).toMatchObject({ State: { Running: true }, RestartCount: 0 });

    const pulled = await engine.request({ method: "POST", path: "/images/create?fromImage=app&tag=one" });
    expect(pulled.text).toContain("Downloaded newer image");
    const after = await examine();
    expect([after.code, after.stdout]).toEqual([0, expect.not.stringContaining("FAIL")]);
    expect(after.stdout).toContain(`the engine at ${engine.socketPath} uses http://${advertised} for Docker Hub`);
    expect(after.stdout).toMatch(/ok {3}\d+ requests have come to the mirror/);

    await mirror[Symbol.asyncDispose]();
    const gone = await examine();
    expect(gone.code).toBe(1);
    expect(gone.stdout).toContain(`FAIL no mirror answers at http://${advertised}`);
    expect(gone.stdout).toContain("Engines go to Docker Hub without a word");
    await engine.request({ method: "DELETE", path: `/containers/${container}?force=1` });
  });

  it("doctor says that neither an engine nor a mirror answers", async () => {
    const words = ["doctor", "--advertise", registry.authority, "--operators", "127.0.0.1:1"];
    const { code, stdout } = await runMirror([...words, "--socket", join(engine.folder, "nothing")]);
    expect(code).toBe(1);
    expect(stdout).toContain(`FAIL no engine answers at ${join(engine.folder, "nothing")}`);
    expect(stdout).toContain("FAIL no mirror answers operators at 127.0.0.1:1");

    const settings = join(engine.folder, "operators.toml");
    await writeFile(settings, 'operators = "127.0.0.1:2"\n');
    const bySettings = await runMirror(["doctor", "--config", settings, "--advertise", registry.authority]);
    expect(bySettings.stdout).toContain("FAIL no mirror answers operators at 127.0.0.1:2");
  });

  it("classic starts registry:2 as its guide says, and it mirrors", async () => {
    await makeClassicImage(engine);
    const words = ["classic", "--socket", engine.socketPath, "--upstream", registry.endpoint, "--port", "6000"];
    const started = await runMirror(words);
    expect([started.code, started.stderr]).toEqual([0, ""]);
    expect(started.stdout).toContain(`container registry (registry:2) mirrors ${registry.endpoint} on port 6000`);
    const inspected = await engine.request({ method: "GET", path: "/containers/registry/json" });
    expect(JSON.parse(inspected.text)).toMatchObject({
      State: { Running: true },
      Config: {
        Env: expect.arrayContaining([
          `REGISTRY_PROXY_REMOTEURL=${registry.endpoint}`,
          "REGISTRY_STORAGE_DELETE_ENABLED=true",
        ]),
      },
      HostConfig: {
        RestartPolicy: { Name: "always" },
        PortBindings: { "5000/tcp": [{ HostIp: "", HostPort: "6000" }] },
      },
    });
    const path = "/v2/library/app/manifests/one";
    const wanted = await (await fetch(`${registry.endpoint}${path}`, { headers: { accept: manifestType } })).text();
    // The port is open before the program in the container listens.
    let answer: string | undefined;
    while (answer === undefined) {
      await sleep(50);
      answer = await read(`http://${engine.address}:6000${path}`).catch(() => undefined);
    }
    expect(answer).toBe(wanted);
    const examined = await runMirror(["doctor", "--advertise", `${engine.address}:6000`]);
    expect(examined.stdout).toContain(`ok   the mirror answers at http://${engine.address}:6000`);

    const again = await runMirror(words);
    expect([again.code, again.stdout]).toEqual([1, ""]);
    expect(again.stderr).toContain("the container registry cannot be started");
    await engine.request({ method: "DELETE", path: "/containers/registry?force=1" });
  }, 60_000);

  it("classic says why it cannot start", async () => {
    const missing = await runMirror(["classic", "--socket", engine.socketPath, "--image", "registry:none"]);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("cannot be started")]);
    expect((await runMirror(["classic", "--port", "70000"])).stderr).toContain("no port");
    const nobody = await runMirror(["classic", "--socket", join(engine.folder, "nothing")]);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining("ENOENT")]);
  });

  function doctor(mirror: ChildMirror, advertised: string): Promise<CommandResult> {
    const operators = new URL(mirror.operatorsUrl).host;
    return runMirror(["doctor", "--advertise", advertised, "--operators", operators, "--socket", engine.socketPath]);
  }
});

/** `fetch` refuses port 6000. */
async function read(url: string): Promise<string> {
  const [response] = (await once(get(url, { headers: { accept: manifestType } }), "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return text;
}

/** Tags an image with Debian's registry as `registry:2`; it is the same program with the same settings. */
async function makeClassicImage(engine: DockerEngine): Promise<void> {
  const program = await requireProgram("docker-registry");
  const configuration = join(engine.folder, "config.yml");
  // JSON is YAML.
  const settings = {
    version: "0.1",
    storage: { filesystem: { rootdirectory: "/var/lib/registry" } },
    http: { addr: ":5000" },
  };
  await writeFile(configuration, JSON.stringify(settings));
  await importImage(engine, {
    reference: "registry:2",
    programs: { "/bin/registry": program.path },
    files: { "/etc/docker/registry/config.yml": configuration },
    command: ["/bin/registry", "serve", "/etc/docker/registry/config.yml"],
  });
}
