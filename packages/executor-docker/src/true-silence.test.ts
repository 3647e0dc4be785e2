import { PassThrough } from "node:stream";
import { importImage, runProgram, startDockerEngine, systemEnvironment } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openHarness, release, runScript } from "./test-support/harness.ts";
import type { Harness } from "./test-support/harness.ts";
import { startQuietForwarder } from "./test-support/quiet-forwarder.ts";
import type { QuietForwarder } from "./test-support/quiet-forwarder.ts";

const FIREWALL_PATIENCE_S = 600;
const LONG_SILENCE_S = 601;
/** The request that waits for the end is open, and silent, some time before the container has started. */
const SHORT_SILENCE_S = 590;
const LIMIT_MS = 800_000;

// Runs only with FLEETFOOT_TRUE_SILENCE=1; the scaled case of `remote-engine.test.ts` runs always.
describe("ten minutes of silence", () => {
  describeWithSystem(
    "docker-engine",
    (engine) => {
      let forwarder: QuietForwarder;
      beforeAll(async () => {
        await importImage(engine());
        forwarder = await startQuietForwarder(engine());
        for (const port of [2_376, forwarder.port]) await engine().forgetIdleConnections(FIREWALL_PATIENCE_S, port);
      });
      afterAll(() => forwarder[Symbol.asyncDispose]());

      const open = (port: number, keepAliveMs?: number): Promise<Harness> => {
        const host = `tcp://${engine().address}:${port}`;
        const tls = { tlsVerify: true, tlsCertificatePath: engine().tls?.certificatePath ?? "" };
        const keepAlive = keepAliveMs === undefined ? {} : { keepAliveMs };
        // What saves a job by asking is no part of this.
        return openHarness(host, { engine: { host, ...tls }, silenceCheckMs: 0, ...keepAlive });
      };
      const silent = (seconds: number): string => `echo start; sleep ${seconds}; echo done; exit 3`;
      const delivered = { code: 3, stdout: "start\ndone\n" };
      const runSilent = async (port: number, seconds: number, keepAliveMs?: number): Promise<object> => {
        await using harness = await open(port, keepAliveMs);
        const environment = await harness.prepare();
        const result = await runScript(environment, silent(seconds));
        await release(environment);
        return result;
      };

      describe.concurrent("of a job", () => {
        it("JE 46: are survived by its output and exit code with keepalive", { timeout: LIMIT_MS }, async () => {
          expect(await runSilent(2_376, LONG_SILENCE_S)).toMatchObject(delivered);
        });

        it("JE 46: are survived with keepalive also when the engine never probes", { timeout: LIMIT_MS }, async () => {
          expect(await runSilent(forwarder.port, LONG_SILENCE_S)).toMatchObject(delivered);
        });

        it("JE 65: less the time of a start, are survived without any keepalive", { timeout: LIMIT_MS }, async () => {
          expect(await runSilent(forwarder.port, SHORT_SILENCE_S, 0)).toMatchObject(delivered);
        });

        it("are survived without keepalive of the client when the engine probes", { timeout: LIMIT_MS }, async () => {
          const running = runSilent(2_376, LONG_SILENCE_S, 0);
          const probed = expect.poll(async () => engineSockets(engine().processId), { interval: 200 });
          await probed.toMatch(/timer:\(keepalive,/);
          expect(await running).toMatchObject(delivered);
        });

        it("lose output and exit code where nobody probes", { timeout: LIMIT_MS }, async () => {
          await using harness = await open(forwarder.port, 0);
          const environment = await harness.prepare();
          let text = "";
          const stdout = new PassThrough().setEncoding("utf8").on("data", (piece: string) => (text += piece));
          const stop = new AbortController();
          let settled = false;
          const script = `${silent(LONG_SILENCE_S)}\n`;
          const run = environment
            .run({ script, stdout, stderr: new PassThrough(), signal: stop.signal })
            .finally(() => (settled = true));
          run.catch(() => undefined);
          // What does not come has no event.
          await new Promise((resolve) => {
            setTimeout(resolve, (LONG_SILENCE_S + 60) * 1_000);
          });
          expect([settled, text]).toEqual([false, "start\n"]);
          stop.abort(new Error("given up"));
        });
      });
    },
    () => startDockerEngine({ tls: true }),
  );
});

/** Connections of clients as the engine's kernel sees them. */
function engineSockets(processId: number): Promise<string> {
  const command = [`--net=/proc/${processId}/ns/net`, "ss", "-tnoH", "state", "established", "sport", "= :2376"];
  return runProgram("nsenter", command, { environment: systemEnvironment("/") });
}
