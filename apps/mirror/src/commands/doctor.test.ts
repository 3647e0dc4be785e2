import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";
import type { ChildMirror } from "../testing/process.ts";
import { createDoctor } from "./doctor.ts";
import type { DoctorOptions } from "./doctor.ts";

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

  /** Runs it here, on a machine without an engine. */
  async function examine(
    options: DoctorOptions,
    texts: Readonly<Record<string, string>>,
  ): Promise<readonly [code: number, stdout: string]> {
    let stdout = "";
    const never = new AbortController().signal;
    const code = await createDoctor({
      engineSocket: join(folder, "docker.sock"),
      patience: () => never,
      ...options,
    })(
      { operands: [], flag: () => false, text: (name) => texts[name], texts: () => [] },
      {
        environment: {},
        homeDirectory: folder,
        isRoot: false,
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => expect(text).toBe("") },
        now: Date.now,
        reload: () => {},
        stop: { graceful: never, forced: never, onServing: () => {}, onReload: () => () => {} },
      },
    );
    return [code, stdout];
  }

  const advertised = (): string => new URL(mirror.url).host;

  it("find nothing wrong with a mirror on a machine without an engine", async () => {
    const operators = new URL(mirror.operatorsUrl).host;
    const [code, stdout] = await examine({}, { advertise: advertised(), operators });
    expect(stdout).toContain(`ok   the mirror answers at ${mirror.url}\n`);
    expect(stdout).toContain("ok   upstream hub is not known to be away\n");
    expect(stdout).toContain("--   no pull has come to the mirror since it was started\n");
    expect(stdout).toContain(`--   there is no Docker engine at ${join(folder, "docker.sock")}`);
    expect(code).toBe(0);
  });

  it("fail where an engine was named that is not there", async () => {
    const named = ["--advertise", advertised(), "--socket", join(folder, "docker.sock")];
    const { code, stdout } = await runMirror(["doctor", ...named]);
    expect([code, stdout]).toEqual([1, expect.stringContaining(`FAIL no engine answers at ${folder}`)]);
  });

  it("say in one line what is no mirror, or does not answer at all", async () => {
    const page = createServer((_request, response) => response.end("<html>")).listen(0, "127.0.0.1");
    const patience = new AbortController();
    // As long as it may take has passed when somebody has come.
    const silent = createTcpServer(() => patience.abort(new Error("late"))).listen(0, "127.0.0.1");
    await Promise.all([once(page, "listening"), once(silent, "listening")]);
    const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
    const operators = (server: { address(): unknown }): Readonly<Record<string, string>> => ({
      advertise: advertised(),
      operators: `127.0.0.1:${portOf(server)}`,
    });
    const examined = await examine({}, operators(page));
    expect(examined).toEqual([1, expect.stringContaining("is not the operators' address of a mirror")]);
    const never = new AbortController().signal;
    const waited = await examine(
      { patience: (asked) => (asked === "operators" ? patience.signal : never) },
      operators(silent),
    );
    expect(waited).toEqual([1, expect.stringContaining("does not answer; is it the operators' address")]);
    expect(waited[1]).toContain(`ok   the mirror answers at ${mirror.url}`);
    page.close();
    page.closeAllConnections();
    silent.close();
  });
});
