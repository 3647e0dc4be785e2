import { readFile, writeFile } from "node:fs/promises";
import { noopLogger } from "@fleetfoot/coordinator-client";
import { readProxyEnvironment } from "@fleetfoot/proxy-env";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../config-file.ts";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";
import { rotateTokens, startTokenRotation, type TokenRotationOptions } from "./rotate-tokens.ts";

const HOUR_MS = 3_600_000;
const START_MS = Date.parse("2026-01-01T00:00:00Z");

/** A clock that only moves when somebody waits for it. */
function clock(): {
  readonly waits: number[];
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
} {
  let nowMs = START_MS;
  const waits: number[] = [];
  return {
    waits,
    now: () => nowMs,
    sleep: async (ms) => {
      waits.push(ms);
      nowMs += ms;
    },
  };
}

/** A configuration with a token that is valid for so many hours, and what rotation needs. */
async function rotation(
  world: RunnerWorld,
  hours: number,
): Promise<{ readonly token: string; readonly options: TokenRotationOptions; readonly waits: number[] }> {
  const expiresAt = new Date(START_MS + hours * HOUR_MS).toISOString();
  const token = await world.configure({
    runner: `token_obtained_at = 2026-01-01T00:00:00Z\ntoken_expires_at = ${expiresAt}\n# mine`,
  });
  const { waits, now, sleep } = clock();
  const stopped = new AbortController();
  return {
    token,
    waits,
    options: {
      path: world.configPath,
      environment: {},
      systemId: "s_0a1b2c3d4e5f",
      network: {
        proxies: readProxyEnvironment({}),
        certificatesDirectory: world.folder,
        currentDirectory: world.folder,
      },
      logger: noopLogger,
      onRotated: () => stopped.abort(),
      signal: stopped.signal,
      lastChance: new AbortController().signal,
      now,
      sleep,
    },
  };
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

describe("rotateTokens", () => {
  it("CP A10: exchanges a token of 100 hours after 75 and writes the new one, which works", async () => {
    await using world = await runnerWorld();
    const { token, options, waits } = await rotation(world, 100);
    await rotateTokens((await loadConfig(world.configPath, {})).config, options);

    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBe(75 * HOUR_MS);
    const { config, text } = await loadConfig(world.configPath, {});
    expect(config.runners[0]?.token).not.toBe(token);
    expect(text).toContain("# mine");
    expect((await world.command(["verify", "-c", world.configPath])).code).toBe(0);
  });

  it("tries again later when the coordinator does not answer as it should, and keeps the old token until then", async () => {
    await using world = await runnerWorld();
    const { token, options } = await rotation(world, 100);
    let tries = 0;
    world.server.faults.add({
      when: ({ path }) => path.endsWith("reset_authentication_token") && ++tries === 1,
      fault: { do: "answer", status: 400 },
    });
    await rotateTokens((await loadConfig(world.configPath, {})).config, options);
    expect(tries).toBe(2);
    expect(await readFile(world.configPath, "utf8")).not.toContain(token);
  });

  it("does not lose the new token when the file cannot be written at first", async () => {
    await using world = await runnerWorld();
    const { options } = await rotation(world, 100);
    const text = await readFile(world.configPath, "utf8");
    let broken = false;
    const sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
      if (broken) await writeFile(world.configPath, text);
      await options.sleep(ms, signal);
    };
    world.server.faults.add({
      when: ({ path }) => path.endsWith("reset_authentication_token"),
      fault: {
        do: "call",
        at: "after",
        call: async () => {
          broken = true;
          await writeFile(world.configPath, "concurrent = [");
        },
      },
    });
    await rotateTokens((await loadConfig(world.configPath, {})).config, { ...options, sleep });
    expect((await world.command(["verify", "-c", world.configPath])).code).toBe(0);
  });

  it.each([{ fileIsBack: true }, { fileIsBack: false }])(
    "brings an exchange that has begun to its end when it is stopped (the file can be written then: $fileIsBack)",
    async ({ fileIsBack }) => {
      await using world = await runnerWorld();
      const { token, options } = await rotation(world, 100);
      const config = await loadConfig(world.configPath, {});
      const begun = Promise.withResolvers<void>();
      const answered = Promise.withResolvers<void>();
      const errors: string[] = [];
      world.server.faults.add({
        when: ({ path }) => path.endsWith("reset_authentication_token"),
        fault: {
          do: "call",
          at: "after",
          call: async () => {
            await writeFile(world.configPath, "concurrent = [");
            begun.resolve();
            await answered.promise;
          },
        },
      });
      const rotating = startTokenRotation(config.config, {
        ...options,
        sleep: (ms, signal) => (ms === 60_000 || ms === 5000 ? rejectOnAbort(signal) : options.sleep(ms, signal)),
        logger: { ...noopLogger, error: (message) => errors.push(message) },
      });
      await begun.promise;
      const stopped = rotating.stop();
      if (fileIsBack) await writeFile(world.configPath, config.text);
      answered.resolve();
      await stopped;
      const text = await readFile(world.configPath, "utf8");
      expect(text).not.toContain(token);
      expect(text.includes("token =")).toBe(fileIsBack);
      expect(errors.includes("The runner's new token is lost; register it again")).toBe(!fileIsBack);
    },
  );

  it("has nothing to do for tokens that do not expire", async () => {
    await using world = await runnerWorld();
    const { options, waits } = await rotation(world, 100);
    const token = await world.configure();
    await rotateTokens((await loadConfig(world.configPath, {})).config, options);
    expect(waits).toEqual([]);
    expect(await readFile(world.configPath, "utf8")).toContain(token);
  });
});
