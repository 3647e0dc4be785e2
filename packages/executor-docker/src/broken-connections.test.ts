import { PassThrough } from "node:stream";
import { importImage, startDockerEngine } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { openEngine } from "./engine/engine.ts";
import { EngineUnreachableError, HostFilesError } from "./errors.ts";
import { startCuttableProxy } from "./test-support/cuttable-proxy.ts";
import { putArchive } from "./workspace/archive-transport.ts";
import { openHarness, release, runScript, soon } from "./test-support/harness.ts";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  describe("an engine that takes requests and answers none", () => {
    it("holds neither a stage that is to be stopped, nor a cleanup whose time is up", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      await using harness = await openHarness(proxy.host);
      const environment = await harness.prepare();
      proxy.setMute(true);
      const stop = new AbortController();
      const run = runScript(environment, "true", stop.signal);
      const timeUp = new AbortController();
      const cleanup = environment.cleanup({ signal: timeUp.signal });
      stop.abort(new Error("stopped by the test"));
      timeUp.abort(new Error("five minutes are over"));
      await expect(run).rejects.toThrow("stopped by the test");
      await expect(cleanup).rejects.toThrow("five minutes are over");
      proxy.setMute(false);
      await release(environment);
    });

    it("ends a stage whose start is not answered", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      await using harness = await openHarness(proxy.host);
      const environment = await harness.prepare();
      const stop = new AbortController();
      proxy.onRequest(/\/start /, () => {
        proxy.setMute(true);
        stop.abort(new Error("stopped by the test"));
        // The container is killed, which is answered again.
        setImmediate(() => proxy.setMute(false));
      });
      await expect(runScript(environment, "sleep 600", stop.signal)).rejects.toThrow("stopped by the test");
      await release(environment);
    });

    it("counts as unreachable after the limit, for short calls and for streams", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      proxy.setMute(true);
      const client = await openEngine({ host: proxy.host, answerLimitMs: 50 });
      const get = { what: "list containers", method: "GET", path: "/containers/json" } as const;
      const calls = [client.call("tell its time", (docker) => docker.info()), client.open(get), client.upgrade(get)];
      for (const result of await Promise.allSettled(calls)) {
        expect(result).toMatchObject({ status: "rejected", reason: expect.any(EngineUnreachableError) as unknown });
        expect(String((result as PromiseRejectedResult).reason)).toContain("no answer after 50 ms");
      }
      client.close();
    });
  });

  it("a job that is cancelled takes nothing away from another that waits to learn whether files are shared", async () => {
    await using proxy = await startCuttableProxy(engine().socketPath);
    await using harness = await openHarness(proxy.host, { workspace: "shared-directory" });
    const stop = new AbortController();
    proxy.onRequest(/^HEAD .*archive/, () => stop.abort(new Error("cancelled by the test")));
    const cancelled = harness.prepare({ signal: stop.signal });
    const other = harness.prepare({ concurrentProjectId: 1 });
    await expect(cancelled).rejects.toThrow("cancelled by the test");
    expect(await runScript(await other, "echo runs")).toMatchObject({ stdout: "runs\n" });
  });

  it("a file that ends before its size while it is sent is a fault of this host, not of the engine", async () => {
    const created = await engine().request({
      method: "POST",
      path: "/containers/create",
      body: { Image: "fleetfoot-busybox", Cmd: ["true"] },
    });
    const { Id: id } = created.json() as { readonly Id: string };
    const client = await openEngine({ host: engine().dockerHost });
    // The kernel says 4,096 bytes, and has a number.
    const trees = [{ source: "/sys/kernel/uevent_seqnum", target: "/file" }];
    await expect(putArchive(client, id, { trees, directories: [], signal: soon() })).rejects.toBeInstanceOf(
      HostFilesError,
    );
    client.close();
    await engine().request({ method: "DELETE", path: `/containers/${id}` });
  });

  it("a connection that breaks again, long after it was resumed, is tried to be made anew again", async () => {
    await using proxy = await startCuttableProxy(engine().socketPath);
    let now = Date.now();
    await using harness = await openHarness(proxy.host, { now: () => now });
    const environment = await harness.prepare();
    const stdout = new PassThrough();
    let text = "";
    const cuts = ["one\n", "two\n"];
    stdout.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      if (cuts[0] === undefined || !text.endsWith(cuts[0])) return;
      cuts.shift();
      now += 90 * 60_000;
      proxy.cut(/./);
    });
    const script = "echo one; sleep 6; echo two; sleep 1; echo three; exit 3\n";
    const exit = await environment.run({ script, stdout, stderr: new PassThrough().resume(), signal: soon() });
    expect([exit.code, text, cuts]).toEqual([3, "one\ntwo\nthree\n", []]);
    await release(environment);
  });

  it("a script that listens to no signal has ended before a stage fails whose output nobody takes", async () => {
    await using harness = await openHarness(engine().dockerHost);
    const environment = await harness.prepare();
    const stdout = new PassThrough();
    stdout.once("data", () => stdout.destroy(new Error("the disk of the log is full")));
    const script = "trap '' TERM INT\nwhile true; do echo x; sleep 0.1; done\n";
    const run = environment.run({ script, stdout, stderr: new PassThrough().resume(), signal: soon() });
    await expect(run).rejects.toThrow("the disk of the log is full");
    const running = await engine().request({ method: "GET", path: "/containers/json" });
    expect(running.json()).toEqual([]);
    await release(environment);
  });
});

describeWithSystem(
  "docker-engine",
  (engine) => {
    beforeAll(() => importImage(engine()));

    it("output that an engine's own limit for logs would have dropped comes once, also after a break", async () => {
      await using proxy = await startCuttableProxy(engine().socketPath);
      await using harness = await openHarness(proxy.host);
      const environment = await harness.prepare();
      const stdout = new PassThrough();
      let text = "";
      let cuts = 0;
      stdout.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (text.includes("line 4000\n") && cuts === 0) cuts = proxy.cut(/attach/);
      });
      const count = (from: number, to: number): string =>
        `i=${from}; while [ $i -le ${to} ]; do echo line $i; i=$((i+1)); done`;
      const script = `${count(1, 4_000)}; sleep 1; ${count(4_001, 5_000)}; exit 3\n`;
      const exit = await environment.run({ script, stdout, stderr: new PassThrough().resume(), signal: soon() });
      expect([exit.code, cuts]).toEqual([3, 1]);
      const lines = Array.from({ length: 5_000 }, (_, index) => `line ${index + 1}\n`);
      expect(text).toBe(lines.join(""));
      await release(environment);
    });
  },
  () => startDockerEngine({ configuration: { "log-opts": { "max-size": "100k", "max-file": "2" } } }),
);
