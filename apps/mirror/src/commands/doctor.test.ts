import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";
import type { ChildMirror } from "../testing/process.ts";

describe("commands that ask a mirror", () => {
  let folder: string;
  let mirror: ChildMirror;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "doctor-"));
    mirror = await startMirror(["--data", folder, "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]);
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const advertise = (): readonly string[] => ["doctor", "--advertise", new URL(mirror.url).host];

  it("take the operators' address from the settings file, too", async () => {
    const config = join(folder, "mirror.toml");
    await writeFile(config, `operators = "${new URL(mirror.operatorsUrl).host}"\n`);
    const stats = await runMirror(["stats", "--config", config, "--upstream", "hub"]);
    expect([stats.code, stats.stdout]).toEqual([0, expect.stringContaining("requests:  0")]);
    expect(await runMirror(["prune", "--all", "--config", config])).toMatchObject({
      code: 0,
      stdout: "0 entries removed\n",
    });
    const overruled = await runMirror(["stats", "--config", config, "--operators", "127.0.0.1:1"]);
    expect([overruled.code, overruled.stderr]).toEqual([1, expect.stringContaining("127.0.0.1:1; does it run?")]);
    await writeFile(config, "operators = 5\n");
    expect(await runMirror(["stats", "--config", config])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("operators must be a text"),
    });
  });

  // Where there is one, it does not use this mirror.
  it.runIf(!existsSync("/var/run/docker.sock"))(
    "find nothing wrong with a mirror on a machine without an engine",
    async () => {
      const operators = new URL(mirror.operatorsUrl).host;
      const { code, stderr, stdout } = await runMirror([...advertise(), "--operators", operators]);
      expect(stdout).toContain(`ok   the mirror answers at ${mirror.url}\n`);
      expect(stdout).toContain("ok   upstream hub is not known to be away\n");
      expect(stdout).toContain("--   no pull has come to the mirror since it was started\n");
      expect(stdout).toContain("--   there is no Docker engine at /var/run/docker.sock");
      expect([code, stderr]).toEqual([0, ""]);
    },
  );

  it("say in one line what is no mirror, or does not answer at all", async () => {
    const page = createServer((_request, response) => response.end("<html>")).listen(0, "127.0.0.1");
    const silent = createTcpServer(() => {}).listen(0, "127.0.0.1");
    await Promise.all([once(page, "listening"), once(silent, "listening")]);
    const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
    const examined = await runMirror([...advertise(), "--operators", `127.0.0.1:${portOf(page)}`]);
    expect([examined.code, examined.stderr]).toEqual([1, ""]);
    expect(examined.stdout).toContain("is not the operators' address of a mirror");
    const waited = await runMirror([...advertise(), "--operators", `127.0.0.1:${portOf(silent)}`]);
    expect([waited.code, waited.stderr]).toEqual([1, ""]);
    expect(waited.stdout).toContain("does not answer; is it the operators' address");
    expect(waited.stdout).toContain(`ok   the mirror answers at ${mirror.url}`);
    page.close();
    page.closeAllConnections();
    silent.close();
  });
});
