import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { importImage, minioProgram, requireGoProgram, startDockerEngine } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { createS3Store } from "@fleetfoot/cache-backend-s3";
import { bodyOf } from "@fleetfoot/cache-backend/testing";
import { parseRunnerConfig } from "@fleetfoot/runner-config";
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serverAddressOf, startMinioContainer } from "../../cache/minio-container.ts";
import { runCli } from "../../cli.ts";
import { testContext } from "../../testing/context.ts";
import { startChild } from "../../testing/process.ts";

describe("fleetfoot cache provision-minio", () => {
  it.each([
    { word: "--bucket", values: ["", "ab", "Upper", "a_b", "a..b", "192.168.5.4", "-ab", "x".repeat(64)] },
    { word: "--name", values: ["", "x", "bad name", "-n", "a/b"] },
    { word: "--image", values: ["", "a b"] },
    { word: "--address", values: ["", "http://host", "host:9000", "[::1]", "user@host", "a b", "host/", "-a"] },
    { word: "--port", values: ["", "0", "65536", "1e4", "0x10", "-1", "9005.5", " 9005"] },
    { word: "--data", values: ["", "a:b"] },
    { word: "--user", values: ["", "ab"] },
    { word: "--password", values: ["", "precise"] },
  ])("refuses what cannot be used as $word, before anything is made", async ({ word, values }) => {
    const folder = await mkdtemp(join(tmpdir(), "provision-"));
    for (const value of values) {
      const context = testContext({ workingDirectory: folder, environment: { DOCKER_HOST: "unix:///nonexistent" } });
      expect(await runCli(["cache", "provision-minio", `${word}=${value}`], context)).toBe(1);
      expect(context.complained(), value).toMatch(new RegExp(`^${word}.* (cannot be used|is no port)\\.\nGive `));
      expect(context.complained()).not.toContain("precise");
    }
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });

  it.each([
    ["127.0.0.1", "127.0.0.1:9005"],
    ["minio.example.com", "minio.example.com:9005"],
    ["::1", "[::1]:9005"],
    ["fe80::1:2", "[fe80::1:2]:9005"],
  ])("reaches %s as %s", (address, expected) => {
    expect(serverAddressOf({ address, port: 9005 })).toBe(expected);
  });
});

describeWithSystem(
  "docker-engine",
  (engine) => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "provision-"));
      // The image of MinIO starts the server when its command begins with `server`; so does this one.
      const server = join(folder, "server");
      await writeFile(server, '#!/bin/sh\nexec minio server "$@"\n', { mode: 0o755 });
      const minio = await requireGoProgram(minioProgram, "the test that starts MinIO in a container");
      await importImage(engine(), {
        content: "bash-and-git",
        reference: "minio-of-the-test:1",
        files: { "/bin/minio": minio, "/bin/server": server },
      });
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    const provision = (...words: string[]): Promise<{ code: unknown; output: string }> =>
      provisionOn({ DOCKER_HOST: engine().dockerHost }, ...words);

    async function provisionOn(
      environment: Readonly<Record<string, string>>,
      ...words: string[]
    ): Promise<{ code: unknown; output: string }> {
      const { address } = engine();
      const given = ["--image", "minio-of-the-test:1", "--data", "data", "--address", address, ...words];
      const child = startChild(["cache", "provision-minio", ...given], {
        directory: folder,
        environment,
      });
      return { code: await child.ended, output: child.output() };
    }

    it("starts MinIO and prints a section with which a store works, the same one when it is there already", async () => {
      const first = await provision();
      expect(first).toEqual({ code: 0, output: expect.stringContaining("The bucket runner-cache is there") });
      const section = first.output.slice(first.output.indexOf("  [runners.cache]"));
      const text = `[[runners]]\nname = "box"\nurl = "https://gitlab.example.com"\ntoken = "glrt-box"\nexecutor = "shell"\n${section}`;
      const s3 = parseRunnerConfig(text, { environment: {} }).config?.runners[0]?.cache?.s3;
      expect(s3).toMatchObject({
        serverAddress: `${engine().address}:9005`,
        insecure: true,
        bucketName: "runner-cache",
      });
      const { accessKey, secretKey, bucketName = "", ...rest } = s3 ?? {};
      const store = createS3Store({ ...rest, bucket: bucketName, accessKeyId: accessKey, secretAccessKey: secretKey });
      await store.put("project/1/gems", bodyOf("gems"));
      expect(await provision()).toEqual(first);
      expect(await store.head("project/1/gems")).toMatchObject({ bytes: 4 });
    }, 180_000);

    it("reaches an engine over TLS with the variables of the Docker client", async () => {
      const { tls } = engine();
      if (tls === undefined) throw new Error("the engine has no TLS");
      const client = { DOCKER_HOST: tls.host, DOCKER_TLS_VERIFY: "1" };
      const found = await provisionOn({ ...client, DOCKER_CERT_PATH: tls.certificatePath });
      expect(found).toEqual({ code: 0, output: expect.stringContaining("The bucket runner-cache is there") });
      const strange = await provisionOn({ ...client, DOCKER_CERT_PATH: "/nonexistent" });
      expect([strange.code, strange.output]).toEqual([1, expect.stringContaining("/nonexistent")]);
    }, 180_000);

    it("leaves a container alone that is not the one that is wanted", async () => {
      await provision();
      const other = await provision("--port", "9006");
      expect([other.code, other.output]).toEqual([
        1,
        expect.stringContaining("There is a container fleetfoot-minio already"),
      ]);
    });

    it("opens the port to this host alone where runners reach it under a loopback address", async () => {
      const docker = new Docker({ socketPath: engine().socketPath });
      const name = "minio-of-this-host";
      const events = await docker.getEvents({ filters: { event: ["start"], container: [name] } });
      const stop = new AbortController();
      const wanted = { name, image: "minio-of-the-test:1", port: 9007, dataDirectory: join(folder, "own") };
      const starting = startMinioContainer(
        { ...wanted, address: "127.0.0.1" },
        { environment: { DOCKER_HOST: engine().dockerHost }, signal: stop.signal },
      ).catch((error: unknown) => error);
      await once(events, "data");
      (events as Readable).destroy();
      // The engine has addresses of its own, so its loopback cannot be asked from here.
      stop.abort(new Error("seen enough"));
      expect(await starting).toEqual(new Error("seen enough"));
      const { NetworkSettings } = await docker.getContainer(name).inspect();
      expect(NetworkSettings.Ports["9000/tcp"]).toEqual([{ HostIp: "127.0.0.1", HostPort: "9007" }]);
      const open = await provision("--name", name, "--port", "9007", "--data", "own");
      expect([open.code, open.output]).toEqual([1, expect.stringContaining("with another address, port")]);
      await docker.getContainer(name).remove({ force: true });
    });

    it("names the image that cannot be had, the engine that does not answer, and what MinIO would refuse", async () => {
      const noImage = await provision("--image", "127.0.0.1:1/absent:1", "--name", "other");
      expect([noImage.code, noImage.output]).toEqual([
        1,
        expect.stringContaining("127.0.0.1:1/absent:1 cannot be pulled"),
      ]);
      const context = testContext({ workingDirectory: folder, environment: { DOCKER_HOST: "unix:///nonexistent" } });
      expect(await runCli(["cache", "provision-minio", "--data", "data"], context)).toBe(1);
      expect(context.complained()).toContain("No Docker engine answers");
    });

    it("leaves no container that cannot start, and says what the engine has said", async () => {
      await provision();
      const taken = await provision("--name", "second");
      expect([taken.code, taken.output]).toEqual([
        1,
        expect.stringMatching(/The engine cannot start minio-of-the-test:1 as second: .*port is already allocated\n/),
      ]);
      const strange = await provision("--name", "third", "--port", "9008", "--image", "minio-of-the-test:1@sha256:x");
      expect([strange.code, strange.output]).toEqual([
        1,
        expect.stringContaining("The engine cannot make the container"),
      ]);
      const containers = await new Docker({ socketPath: engine().socketPath }).listContainers({ all: true });
      expect(containers.flatMap(({ Names }) => Names)).toEqual(["/fleetfoot-minio"]);
    }, 180_000);
  },
  () => startDockerEngine({ tls: true }),
);
