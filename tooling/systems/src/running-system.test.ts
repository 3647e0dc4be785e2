import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemEnvironment } from "./environment.ts";
import { SystemStartError } from "./errors.ts";
import { answersWell } from "./http.ts";
import { startSystem } from "./running-system.ts";
import type { Place, StartOrder } from "./running-system.ts";

const serverProgram = `
  require("node:http").createServer((_, response) => response.end("the system")).listen(+process.argv[1], "127.0.0.1");
`;

function orderOf(program: string, { folder, port }: Place): Awaited<ReturnType<StartOrder["order"]>> {
  return {
    command: [process.execPath, "--eval", program, `${port}`],
    environment: systemEnvironment(folder, { GIVEN: "1" }),
  };
}

const isReady = ({ host, port }: Place) => answersWell(`http://${host}:${port}/`);

const sample = { system: "sample", version: "1", isReady };
const idleProgram = "setInterval(() => {}, 1000)";
const nowhere = { command: ["/nowhere/program"], environment: {} } as const;

describe("startSystem", () => {
  // These systems are made up; they must not be named among those that took part.
  beforeEach(() => vi.stubEnv("FLEETFOOT_SYSTEMS_REPORT", ""));
  afterEach(() => vi.unstubAllEnvs());

  it("takes another port when somebody else took the first, even one who answers the health check", async () => {
    const intruder = createServer((_, response) => response.end("somebody else"));
    const ports: number[] = [];
    await using system = await startSystem({
      ...sample,
      order: async (place) => {
        ports.push(place.port);
        if (ports.length === 1) await once(intruder.listen(place.port, place.host), "listening");
        return orderOf(serverProgram, place);
      },
    });
    expect(ports).toHaveLength(2);
    expect(system.port).toBe(ports[1]);
    expect(await (await fetch(`http://${system.host}:${system.port}/`)).text()).toBe("the system");
    intruder.close();
  });

  it("shows the end of the log when the system ends before it serves, and removes its folder", async () => {
    let folder = "";
    const failing = startSystem({
      ...sample,
      order: (place) => {
        folder = place.folder;
        return orderOf(`console.error("the reason"); process.exit(7)`, place);
      },
    });
    const error = await failing.catch((error: unknown) => error);
    expect(error).toBeInstanceOf(SystemStartError);
    expect(String(error)).toMatch(/start sample: it ended with status 7[^]*the reason/);
    expect(existsSync(folder)).toBe(false);
  });

  it("says so when the program cannot be run at all", async () => {
    await expect(startSystem({ ...sample, order: () => nowhere })).rejects.toThrow("ENOENT");
  });

  it("gives up on a system that does not serve in time", async () => {
    await expect(
      startSystem({ ...sample, order: (place) => orderOf(idleProgram, place), startDeadlineMs: 1 }),
    ).rejects.toThrow("does not serve after 1 ms");
  });

  it("gives the system an explicit environment and nothing of the caller's", async () => {
    vi.stubEnv("AWS_CA_BUNDLE", "/somewhere/bundle.pem");
    await using system = await startSystem({
      ...sample,
      order: (place) =>
        orderOf(
          `require("node:fs").writeFileSync("environment", Object.keys(process.env).join("\\n"));${serverProgram}`,
          place,
        ),
    });
    const names = (await readFile(`${system.folder}/environment`, "utf8")).split("\n").sort();
    expect(names).toEqual(["GIVEN", "HOME", "LANG", "PATH", "TMPDIR", "TZ"]);
  });

  it("may be stopped twice", async () => {
    const system = await startSystem({ ...sample, order: (place) => orderOf(serverProgram, place) });
    await Promise.all([system.stop(), system.stop()]);
    await system.stop();
    expect(existsSync(system.folder)).toBe(false);
  });
});
