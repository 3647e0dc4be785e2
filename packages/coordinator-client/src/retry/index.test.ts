import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { describe, expect, it } from "vitest";

const packageDirectory = fileURLToPath(new URL("../..", import.meta.url));

describe("the sub-path for retries", () => {
  it("has the layer, its parts and its error", async () => {
    expect(await load("@fleetfoot/coordinator-client/retry", "Object.keys(module)")).toEqual([
      "TransportError",
      "classifyStatus",
      "computeWait",
      "createRetryingFetch",
      "isRetriableStatus",
      "parseResetTime",
      "parseRetryAfter",
      "sleep",
    ]);
  });

  it("loads nothing that sends requests, and neither does the client before its first one", async () => {
    const countOfUndici = 'Object.keys(require.cache).filter((path) => path.includes("undici")).length';
    expect(await load("@fleetfoot/coordinator-client/retry", countOfUndici)).toBe(0);
    expect(await load("@fleetfoot/coordinator-client", countOfUndici)).toBe(0);
    const client = `module.createCoordinatorClient({ url: "http://127.0.0.1:1", info: { name: "t", version: "1" } })`;
    const verify = `${client}.verifyRunner({ token: new module.Secret("t"), systemId: "s_0a1b2c3d4e5f" })`;
    expect(await load("@fleetfoot/coordinator-client", `(await ${verify}, ${countOfUndici})`)).toBeGreaterThan(0);
  });

  it("has the same error class as the client", async () => {
    const other = 'module.TransportError === (await import("@fleetfoot/coordinator-client")).TransportError';
    expect(await load("@fleetfoot/coordinator-client/retry", other)).toBe(true);
  });
});

/** Imports as users of the package do, in a process that has loaded nothing else. */
async function load(name: string, expression: string): Promise<unknown> {
  const script = `
    import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);
    const module = await import(${JSON.stringify(name)});
    console.log(JSON.stringify(${expression}));
  `;
  const args = ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: packageDirectory });
  return JSON.parse(stdout) as unknown;
}
