import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { importImage, runProgram, startDockerEngine, systemEnvironment } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { DockerConfigurationError } from "./errors.ts";
import type { EngineOptions } from "./index.ts";
import { openHarness, release, runScript } from "./test-support/harness.ts";
import { deriveImage } from "./test-support/images.ts";
import type { Harness } from "./test-support/harness.ts";
import type { DockerExecutorOptions } from "./types.ts";

/** The firewall's patience, for ten minutes in the real case. */
const IDLE_LIMIT_S = 3;
/** Twice as long as the firewall waits. */
const LONG_SILENCE_S = 6;
/** Below the 15 s after which the engine itself would probe. */
const PATIENT_LIMIT_S = 14;

describeWithSystem(
  "docker-engine",
  (engine) => {
    beforeAll(async () => {
      await importImage(engine());
      await engine().forgetIdleConnections(IDLE_LIMIT_S);
    });
    const remote = (): EngineOptions => {
      const { host = "", certificatePath = "" } = engine().tls ?? {};
      return { host, tlsVerify: true, tlsCertificatePath: certificatePath };
    };
    const open = (options: Partial<DockerExecutorOptions> = {}): Promise<Harness> =>
      openHarness(remote().host ?? "", { engine: remote(), keepAliveMs: 1_000, silenceCheckMs: 0, ...options });
    const silent = (seconds: number): string => `echo start; sleep ${seconds}; echo done; exit 3`;

    describe("a remote engine behind a firewall that forgets idle connections", () => {
      it("JE 46, CP A61: delivers output and exit code of a job that is silent for longer than the firewall waits", async () => {
        await using harness = await open();
        const environment = await harness.prepare();
        expect(harness.log.at(-1)).toMatch(/archive API: the engine is reached over the network/);
        expect(await runScript(environment, silent(LONG_SILENCE_S))).toMatchObject({
          code: 3,
          stdout: "start\ndone\n",
        });
        await release(environment);
      });

      it("is told to speak TLS where it is asked without, and that is not tried again", async () => {
        await using harness = await openHarness(remote().host ?? "");
        await expect(harness.prepare()).rejects.toMatchObject({
          name: "EngineUnreachableError",
          retryable: false,
          message: expect.stringMatching(/it speaks TLS: set tls_verify and tls_cert_path/) as unknown,
        });
      });

      it("JE 46: has a keepalive timer on every connection, the attached one included, from the start", async () => {
        await using harness = await open({ keepAliveMs: 10_000 });
        const environment = await harness.prepare();
        const stdout = new PassThrough();
        const started = new Promise((resolve) => {
          stdout.once("data", resolve);
        });
        const stop = new AbortController();
        const script = "set -e; echo start; sleep 600; exit 0\n";
        const run = environment.run({ script, stdout, stderr: stdout, signal: stop.signal });
        await started;
        const table = await runProgram("ss", ["-tnoH", "state", "established", "dst", engine().address], {
          environment: systemEnvironment("/"),
        });
        const connections = table.split("\n").filter((line) => line.includes(":2376"));
        // One waits for the end, one is attached.
        expect(connections.length).toBeGreaterThanOrEqual(2);
        expect(connections.filter((line) => !/timer:\(keepalive,/.test(line))).toEqual([]);
        stop.abort(new Error("enough"));
        await run;
        await release(environment);
      });

      it("JE 65: delivers a job that is silent for less than the firewall waits even without keepalive", async () => {
        // The same silence as below, before a more patient firewall: a start under load takes some of the patience, too.
        await engine().forgetIdleConnections(PATIENT_LIMIT_S);
        try {
          await using harness = await open({ keepAliveMs: 0 });
          const environment = await harness.prepare();
          expect(await runScript(environment, silent(LONG_SILENCE_S))).toMatchObject({
            code: 3,
            stdout: "start\ndone\n",
          });
          await release(environment);
        } finally {
          await engine().forgetIdleConnections(IDLE_LIMIT_S);
        }
      });

      it("loses the long silence without keepalive: neither output nor exit code come while the job has long ended", async () => {
        await using harness = await open({ keepAliveMs: 0 });
        const environment = await harness.prepare();
        let text = "";
        const stdout = new PassThrough().setEncoding("utf8").on("data", (piece: string) => (text += piece));
        const started = new Promise((resolve) => {
          stdout.once("data", resolve);
        });
        const stop = new AbortController();
        let settled = false;
        const run = environment
          .run({ script: `${silent(LONG_SILENCE_S)}\n`, stdout, stderr: new PassThrough(), signal: stop.signal })
          .finally(() => (settled = true));
        run.catch(() => undefined);
        await started;
        // Asked over the engine's own socket, which no firewall watches: the container ends by itself.
        const listed = await engine().request({ method: "GET", path: "/containers/json" });
        const [{ Id: id = "" } = {}] = listed.json() as readonly { readonly Id?: string }[];
        const ended = await engine().request({ method: "POST", path: `/containers/${id}/wait` });
        expect(ended.text).toContain('"StatusCode":3');
        // What does not come has no event; the news takes milliseconds when it does.
        await new Promise((resolve) => {
          setTimeout(resolve, 1_000);
        });
        expect([settled, text]).toEqual([false, "start\n"]);
        stop.abort(new Error("given up"));
        await engine().request({ method: "DELETE", path: `/containers/${id}?force=1` });
      });

      it("finds out by asking that a job has ended, should keepalive not help", async () => {
        await using harness = await open({ keepAliveMs: 0, silenceCheckMs: 4_000 });
        const environment = await harness.prepare();
        expect(await runScript(environment, silent(LONG_SILENCE_S))).toMatchObject({
          code: 3,
          stdout: "start\ndone\n",
        });
        await release(environment);
      });
    });

    it("a service whose image has no program to look with is not waited for, and not said to have failed", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "no-cat", ["ENV PATH=/nowhere", "EXPOSE 80"]);
      await using harness = await open();
      const service = { name: "no-cat", command: ["/bin/sleep", "600"] };
      await release(await harness.prepare({ job: { services: [service] } }));
      const log = harness.log.join("\n");
      expect(log).toMatch(/Service .* is not waited for: its image has no program to look/);
      expect(log).not.toContain("probably didn't start");
    });

    describe("TLS", () => {
      it("JE 66: writes the keys of every connection into a private file, and says so in the job's log", async () => {
        const folder = await mkdtemp(join(tmpdir(), "keylog-"));
        const keyLogFile = join(folder, "keys");
        {
          await using harness = await open({ keyLogFile });
          const environment = await harness.prepare();
          await runScript(environment, "true");
          await release(environment);
          expect(harness.log.join("\n")).toMatch(/WARNING: The keys of the connections/);
        }
        const lines = (await readFile(keyLogFile, "utf8")).trimEnd().split("\n");
        expect(lines.every((line) => /^[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]+$/.test(line))).toBe(true);
        const secrets = lines.filter((line) => line.startsWith("CLIENT_TRAFFIC_SECRET_0 "));
        // The short calls share one; the wait and the attached stream have their own.
        expect(new Set(secrets.map((line) => line.split(" ")[1])).size).toBeGreaterThanOrEqual(3);
        expect((await stat(keyLogFile)).mode & 0o777).toBe(0o600);
        await rm(folder, { recursive: true });
      });

      it("JE 66: writes no file without being asked, and none for a local engine", async () => {
        const folder = await mkdtemp(join(tmpdir(), "keylog-"));
        await using harness = await openHarness(engine().dockerHost, { keyLogFile: join(folder, "keys") });
        await release(await harness.prepare());
        await expect(stat(join(folder, "keys"))).rejects.toThrow("ENOENT");
        await rm(folder, { recursive: true });
      });

      it("runs jobs without the file when it cannot be written, and says so", async () => {
        await using harness = await open({ keyLogFile: "/nonexistent/keys" });
        const environment = await harness.prepare();
        expect(await runScript(environment, "echo runs")).toMatchObject({ stdout: "runs\n" });
        await release(environment);
        expect(harness.log.join("\n")).toMatch(/WARNING: The keys .* cannot be written to a file: ENOENT/);
      });

      it("names the certificate that is missing, and refuses an engine of another authority", async () => {
        await using missing = await open({ engine: { ...remote(), tlsCertificatePath: "/nonexistent" } });
        await expect(missing.prepare()).rejects.toThrow(/cannot read the Docker engine's ca\.pem|cert\.pem|key\.pem/);
        await using none = await open({ engine: { host: remote().host ?? "", tlsVerify: true } });
        await expect(none.prepare()).rejects.toBeInstanceOf(DockerConfigurationError);
      });
    });
  },
  () => startDockerEngine({ tls: true }),
);
