import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { callerEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";
import { systemsFolder } from "./folders.ts";
import { withLock } from "./lock.ts";
import { runProgram } from "./run-program.ts";

/** A program that `go install` builds. */
export interface GoProgram {
  /** Name of the binary. */
  readonly name: string;
  /** Package path of the module proxy. */
  readonly package: string;
  /** Exact module version. */
  readonly version: string;
}

/**
 * Builds a Go program on first need; a later need finds the binary.
 *
 * @param why - completes the line that is printed before the build
 * @param folder - receives the binary and everything that Go writes
 * @returns path of the binary
 * @throws {SystemUnavailableError} Go is not there, or the build failed
 */
export async function requireGoProgram(program: GoProgram, why: string, folder = systemsFolder): Promise<string> {
  const home = join(folder, program.name, program.version);
  const binary = join(home, program.name);
  if (await exists(binary)) return binary;
  const go = findProgram("go");
  if (go === undefined) throw new SystemUnavailableError(program.name, "it is built from source, and Go is not there");
  return withLock(join(folder, "locks", program.name), async () => {
    if (await exists(binary)) return binary;
    console.error(`systems: building ${program.name} ${program.version} (takes minutes, once) for ${why}`);
    await build(go, program, folder, home);
    return binary;
  });
}

/**
 * Builds a Go program of this repository on first need, and again when its files have changed.
 *
 * @param source - folder with `go.mod`, `go.sum` and `main.go`
 * @returns path of the binary
 * @throws {SystemUnavailableError} Go is not there, or the build failed
 */
export async function requireOwnGoProgram(name: string, source: string, why: string): Promise<string> {
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum", "main.go"]) hash.update(await readFile(join(source, file)));
  const home = join(systemsFolder, name, hash.digest("hex").slice(0, 16));
  const binary = join(home, name);
  if (await exists(binary)) return binary;
  const go = findProgram("go");
  if (go === undefined) throw new SystemUnavailableError(name, "it is built from source, and Go is not there");
  return withLock(join(systemsFolder, "locks", name), async () => {
    if (await exists(binary)) return binary;
    console.error(`systems: building ${name} for ${why}`);
    await mkdir(home, { recursive: true });
    const scratch = await mkdtemp(join(home, "build-"));
    try {
      const environment = await goEnvironment(go, systemsFolder, scratch);
      await runProgram(go, ["build", "-o", join(scratch, name), "."], { environment, folder: source });
      await rename(join(scratch, name), binary);
    } catch (error) {
      throw new SystemUnavailableError(name, `\`go build\` failed: ${(error as Error).message}`, { cause: error });
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    return binary;
  });
}

async function build(go: string, program: GoProgram, folder: string, home: string): Promise<void> {
  await mkdir(home, { recursive: true });
  const scratch = await mkdtemp(join(home, "build-"));
  try {
    const environment = await goEnvironment(go, folder, scratch);
    await runProgram(go, ["install", `${program.package}@${program.version}`], { environment, folder: scratch });
    await rename(join(scratch, program.name), join(home, program.name));
  } catch (error) {
    throw new SystemUnavailableError(program.name, `\`go install\` failed: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The caller's Go settings (its proxy, its checksum data base), but every file that Go writes goes into our folder. */
async function goEnvironment(go: string, folder: string, outputFolder: string): Promise<Environment> {
  const caller = callerEnvironment();
  const goFolder = join(folder, "go");
  const environment = {
    ...caller,
    // Go's telemetry counters go below HOME; the user's own settings and access to a private proxy still count.
    HOME: join(goFolder, "home"),
    XDG_CONFIG_HOME: join(goFolder, "home", ".config"),
    GOENV: caller["GOENV"] ?? (await findSettings(caller)),
    NETRC: caller["NETRC"] ?? join(homedir(), ".netrc"),
    GOPATH: goFolder,
    GOMODCACHE: join(goFolder, "modules"),
    GOCACHE: join(goFolder, "build"),
    GOBIN: outputFolder,
    CGO_ENABLED: "0",
  };
  const flags = await runProgram(go, ["env", "GOFLAGS"], { environment, folder: outputFolder });
  // Without this flag the module cache is read-only, and deleting the folder fails.
  return { ...environment, GOFLAGS: `${flags.trim()} -modcacherw`.trim() };
}

/**
 * The file that `go env -w` writes. The user's own one counts, too, when something has set another configuration folder.
 *
 * @see https://pkg.go.dev/os#UserConfigDir
 */
async function findSettings(caller: Environment): Promise<string> {
  const folders = [
    caller["XDG_CONFIG_HOME"],
    join(homedir(), ".config"),
    join(homedir(), "Library/Application Support"),
  ];
  for (const folder of folders) {
    const file = join(folder ?? "", "go", "env");
    if (folder !== undefined && (await exists(file))) return file;
  }
  return "off";
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
