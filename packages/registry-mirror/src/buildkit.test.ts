import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDockerEngine, startRegistry } from "@fleetfoot-tooling/systems";
import type { DockerEngine } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { expect, it } from "vitest";
import { pushFromEngine } from "./testing/engine.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";

/** An engine that cannot reach the Hub, and has the mirror. @param address - of this machine, as engines reach it */
function startBuilder(mirror: ServedMirror, address: string): Promise<DockerEngine> {
  const authority = `mirror.example:${new URL(mirror.url).port}`;
  return startDockerEngine({
    hosts: {
      "mirror.example": address,
      "docker.io": "127.0.0.1",
      "registry-1.docker.io": "127.0.0.1",
      "auth.docker.io": "127.0.0.1",
    },
    configuration: { "registry-mirrors": [`http://${authority}`] },
    // The engine itself needs none for a mirror. Its BuildKit goes by no scheme but that of such an entry, and takes https for granted.
    insecureRegistries: [`http://${authority}`],
  });
}

/** Builds with the engine's own BuildKit; what it said. @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild */
async function build(engine: DockerEngine, dockerfile: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "build-"));
  try {
    await writeFile(join(folder, "Dockerfile"), dockerfile);
    const body = spawn("tar", ["-c", "-C", folder, "Dockerfile"]).stdout;
    const { status, text } = await engine.request({ method: "POST", path: "/build?version=2&t=built", body });
    expect(status, text).toBe(200);
    return text;
  } finally {
    await rm(folder, { recursive: true });
  }
}

describeWithSystem("docker-engine", (engine) => {
  it("BuildKit builds on an image that it gets through the mirror, and a second one without a request to the upstream", async () => {
    await using registry = await startRegistry({ host: engine().hostAddress });
    await pushFromEngine(engine(), `${registry.authority}/library/app:one`);
    await using tap = await startTap(registry.endpoint);
    await using mirror = await serveMirror({
      host: "0.0.0.0",
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } },
    });
    const dockerfile = 'FROM app:one\nRUN ["true"]\nLABEL built=yes\n';
    for (const time of ["first", "second"]) {
      await using builder = await startBuilder(mirror, engine().hostAddress);
      const said = await build(builder, dockerfile);
      expect(said).not.toContain("errorDetail");
      const inspected = await builder.request({ method: "GET", path: "/images/built/json" });
      expect(inspected.json(), said).toMatchObject({ Config: { Labels: { built: "yes" } } });
      const asked = tap.take();
      const blobs = asked.filter((line) => line.includes("/blobs/"));
      if (time === "second") expect(asked).toEqual([]);
      else {
        expect(asked.filter((line) => line.startsWith("HEAD"))).toEqual(["HEAD /v2/library/app/manifests/one"]);
        expect([blobs.length > 1, new Set(blobs).size]).toEqual([true, blobs.length]);
      }
    }
    expect(mirror.metric("requests_total", { kind: "blob", result: "hit" })).toBeGreaterThan(0);
  });
});
