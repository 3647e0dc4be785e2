import { readFileSync } from "node:fs";
import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { EngineResponseError } from "../errors.ts";
import { openHarness, release, runScript } from "../test-support/harness.ts";
import { containerNames, deriveImage, volumeNames } from "../test-support/images.ts";

/** A privileged container gets every capability of the kernel, which root of a container or a small machine may not have itself. */
const mayBePrivileged = hasAllCapabilities();

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "docker", reference: "docker-in-docker" });
    // As the official image: its layers cannot lie upon those of the outer engine.
    await deriveImage(engine(), "docker-in-docker", "dind", ["VOLUME /var/lib/docker", "EXPOSE 2375"]);
  });

  const service = {
    name: "dind",
    alias: "docker",
    command: ["dockerd", "--host=tcp://0.0.0.0:2375", "--tls=false", "--iptables=false", "--bridge=none"],
  };
  const privileged = { image: "dind", servicesPrivileged: true, allowedPrivilegedServices: ["dind*"] };

  describe("docker in docker", () => {
    // What the machine allows decides which of the two there is.
    if (mayBePrivileged) {
      it("runs containers in a privileged service, and leaves nothing of it behind", async () => {
        await using harness = await openHarness(engine().dockerHost, { settings: privileged });
        const environment = await harness.prepare({ job: { services: [service] } });
        // The job's own image becomes one of the inner engine.
        const script =
          "set -e; export DOCKER_HOST=tcp://docker:2375; tar -c -C / bin | docker import - inner >/dev/null; " +
          "docker run --rm --network none inner /bin/sh -c 'echo nested; exit 5'";
        expect(await runScript(environment, script)).toMatchObject({ code: 5, stdout: "nested\n" });
        await release(environment);
        expect(await containerNames(engine())).toEqual([]);
        expect(await volumeNames(engine())).toEqual([]);
      });
    } else {
      it("fails with the engine's words where the machine cannot give all capabilities", async () => {
        await using harness = await openHarness(engine().dockerHost, { settings: privileged });
        const failure = await harness.prepare({ job: { services: [service] } }).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(EngineResponseError);
        expect(String(failure)).toMatch(/refused to start the service dind: .*caps: operation not permitted/);
        expect(await containerNames(engine())).toEqual([]);
        expect(await volumeNames(engine())).toEqual([]);
      });
    }

    it("with the engine's own socket runs containers beside the job", async () => {
      const volumes = [`${engine().socketPath}:/var/run/docker.sock`];
      await using harness = await openHarness(engine().dockerHost, { settings: { image: "dind", volumes } });
      const environment = await harness.prepare();
      const script = "docker run --rm --network none fleetfoot-busybox sh -c 'echo beside; exit 5'";
      expect(await runScript(environment, script)).toMatchObject({ code: 5, stdout: "beside\n" });
      await release(environment);
      expect(await containerNames(engine())).toEqual([]);
    });
  });
});

/** @see capabilities(7), proc(5) */
function hasAllCapabilities(): boolean {
  if (process.platform !== "linux") return false;
  const [, bounding = "0"] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const last = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return BigInt(`0x${bounding}`) === (1n << BigInt(last + 1)) - 1n;
}
