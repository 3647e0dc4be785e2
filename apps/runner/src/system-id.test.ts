import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadSystemId, systemIdOf } from "./system-id.ts";

const warn = (message: string): void => {
  throw new Error(`unexpected warning: ${message}`);
};

describe("system id", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-system-id-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is made once and then stays", async () => {
    const first = await loadSystemId(folder, { warn });
    expect(first).toMatch(/^[sr]_[0-9a-zA-Z]{12}$/);
    expect(await loadSystemId(folder, { warn })).toBe(first);
    expect(await readFile(join(folder, ".runner_system_id"), "utf8")).toBe(first);
  });

  it("replaces content that is no system id", async () => {
    await writeFile(join(folder, ".runner_system_id"), "nonsense");
    expect(await loadSystemId(folder, { warn })).toMatch(/^[sr]_[0-9a-zA-Z]{12}$/);
  });

  it("only warns when the file cannot be written", async () => {
    const warnings: string[] = [];
    const id = await loadSystemId(join(folder, "missing"), { warn: (message) => warnings.push(message) });
    expect(id).toMatch(/^[sr]_[0-9a-zA-Z]{12}$/);
    expect(warnings).toEqual([expect.stringContaining("missing")]);
  });

  it("is the first digits of a keyed digest with the machine's id as key", () => {
    const digest = createHmac("sha256", "0123456789abcdef").update("gitlab-runner").digest("hex");
    expect(systemIdOf("0123456789abcdef")).toBe(`s_${digest.slice(0, 12)}`);
  });
});
