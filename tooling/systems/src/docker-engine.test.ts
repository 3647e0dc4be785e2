import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";
import type { DockerEngine } from "./docker-engine.ts";
import { importImage } from "./docker-image.ts";
import { startGitServer } from "./git-server.ts";
import { startRegistry } from "./registry.ts";

describeWithSystem("docker-engine", (engine) => {
  it("runs a container of the busybox image and keeps its output", async () => {
    const image = await importImage(engine());
    expect(await run(engine(), image, ["sh", "-c", "echo from $((40 + 2)); exit 3"])).toEqual({
      status: 3,
      output: "from 42\r\n",
    });
  });

  it("runs bash and git of this machine in a container, which clones from this machine", async () => {
    const image = await importImage(engine(), { content: "bash-and-git" });
    await using server = await startGitServer({ host: engine().hostAddress });
    const repository = await server.createRepository("cloned", { file: "content" });
    const script = `set -o pipefail; git clone --quiet ${repository.url} /tmp/cloned && cat /tmp/cloned/file | tr a-z A-Z`;
    expect(await run(engine(), image, ["bash", "-c", script])).toEqual({ status: 0, output: "CONTENT" });
  });

  it("lets a container reach a server on this machine", async () => {
    const image = await importImage(engine());
    const server = createServer((_, response) => response.end("served")).listen(0, engine().hostAddress);
    await once(server, "listening");
    const url = `http://${engine().hostAddress}:${(server.address() as AddressInfo).port}/`;
    expect(await run(engine(), image, ["wget", "-q", "-O", "-", url])).toEqual({ status: 0, output: "served" });
    server.close();
  });

  it("pushes an image to a registry on this machine and pulls it again", async () => {
    await using registry = await startRegistry({ host: engine().hostAddress });
    const repository = `${registry.authority}/team/busybox`;
    const image = await importImage(engine(), { reference: `${repository}:one` });
    const headers = { "x-registry-auth": Buffer.from("{}").toString("base64") };
    const push = await engine().request({ method: "POST", path: `/images/${repository}/push?tag=one`, headers });
    expect(push.text).toContain("digest: sha256:");
    await engine().request({ method: "DELETE", path: `/images/${image}` });
    const pull = await engine().request({ method: "POST", path: `/images/create?fromImage=${repository}&tag=one` });
    expect(pull.text).toContain("Downloaded newer image");
    expect(await run(engine(), image, ["echo", "pulled"])).toEqual({ status: 0, output: "pulled\r\n" });
  });
});

async function run(engine: DockerEngine, image: string, command: readonly string[]): Promise<object> {
  // With a terminal the log has no frame headers.
  const body = { Image: image, Cmd: command, Tty: true };
  const created = await engine.request({ method: "POST", path: "/containers/create", body });
  expect(created.status, created.text).toBe(201);
  const container = `/containers/${(created.json() as { readonly Id: string }).Id}`;
  const started = await engine.request({ method: "POST", path: `${container}/start` });
  expect(started.status, started.text).toBe(204);
  const ended = await engine.request({ method: "POST", path: `${container}/wait` });
  const logs = await engine.request({ method: "GET", path: `${container}/logs?stdout=1&stderr=1` });
  await engine.request({ method: "DELETE", path: `${container}?force=1` });
  return { status: (ended.json() as { readonly StatusCode: number }).StatusCode, output: logs.text };
}
