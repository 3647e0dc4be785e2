import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { describeWithProgram } from "./describe-with-system.ts";
import { systemEnvironment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";
import { requireGoProgram } from "./go-program.ts";
import type { GoProgram } from "./go-program.ts";
import { systemsAreRequired } from "./report.ts";
import { runProgram } from "./run-program.ts";

const hello: GoProgram = { name: "hello", package: "example.test/hello", version: "v1.0.0" };
const program = "package main\n\nfunc main() {}\n";

describe.skipIf(findProgram("go") === undefined && !systemsAreRequired())("requireGoProgram", () => {
  let folder = "";
  let printed: unknown[][] = [];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-go-"));
    printed = vi.spyOn(console, "error").mockImplementation(() => {}).mock.calls;
    // A module proxy is a folder of files, so the real `go install` runs without a network.
    vi.stubEnv("GOPROXY", pathToFileURL(join(folder, "proxy")).href);
    vi.stubEnv("GONOSUMDB", "example.test/*");
    vi.stubEnv("HOME", join(folder, "user"));
    await mkdir(join(folder, "user"));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  describeWithProgram("zip", (zip) => {
    it("builds once for two who need it at the same time, and writes nothing below HOME", async () => {
      const systems = join(folder, "systems");
      const failed = await requireGoProgram(hello, "this test", systems).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(SystemUnavailableError);
      expect(String(failed)).toContain("example.test/hello@v1.0.0");

      // A failed build stands in nobody's way.
      await publish(zip().path, join(folder, "proxy"), folder);
      printed.length = 0;
      const paths = await Promise.all([1, 2].map(() => requireGoProgram(hello, "this test", systems)));
      expect(new Set(paths)).toEqual(new Set([join(systems, "hello/v1.0.0/hello")]));
      await runProgram(paths[0] ?? "", [], { environment: systemEnvironment("/") });
      expect(printed).toEqual([["systems: building hello v1.0.0 (takes minutes, once) for this test"]]);
      expect(await readdir(join(systems, "hello/v1.0.0"))).toEqual(["hello"]);
      expect(await readdir(join(folder, "user"))).toEqual([]);
    });
  });
});

/** Lays out a module as a module proxy serves it. @see https://go.dev/ref/mod#goproxy-protocol */
async function publish(zip: string, proxy: string, scratch: string): Promise<void> {
  const module = "module example.test/hello\n\ngo 1.20\n";
  const versions = join(proxy, "example.test/hello/@v");
  const source = join(scratch, "example.test/hello@v1.0.0");
  await mkdir(versions, { recursive: true });
  await mkdir(source, { recursive: true });
  await writeFile(join(versions, "list"), "v1.0.0\n");
  await writeFile(join(versions, "v1.0.0.info"), '{"Version":"v1.0.0"}');
  await writeFile(join(versions, "v1.0.0.mod"), module);
  await writeFile(join(source, "go.mod"), module);
  await writeFile(join(source, "main.go"), program);
  const args = ["-q", "-D", "-r", join(versions, "v1.0.0.zip"), "example.test"];
  await runProgram(zip, args, { environment: systemEnvironment("/"), folder: scratch });
}
