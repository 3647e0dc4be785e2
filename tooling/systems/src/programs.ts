import { installDebianPackages } from "./debian.ts";
import { callerEnvironment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";
import { reportSystem } from "./report.ts";
import { runProgram } from "./run-program.ts";

/** Programs that tests may ask for, and the Debian package each comes from. */
const packageOf = {
  bsdtar: "libarchive-tools",
  busybox: "busybox-static",
  chromium: "chromium",
  cntlm: "cntlm",
  containerd: "containerd",
  ctr: "containerd",
  curl: "curl",
  "docker-registry": "docker-registry",
  docker: "docker.io",
  dockerd: "docker.io",
  git: "git",
  htpasswd: "apache2-utils",
  ip: "iproute2",
  iptables: "iptables",
  openssl: "openssl",
  rclone: "rclone",
  rsync: "rsync",
  runc: "runc",
  skopeo: "skopeo",
  squid: "squid",
  tinyproxy: "tinyproxy",
  time: "time",
  unzip: "unzip",
  zip: "zip",
  zstd: "zstd",
} as const;

/** A plain program that comes from a Debian package. */
export type ProgramName = keyof typeof packageOf;

/** A program on this machine. */
export interface Program {
  /** Absolute path. */
  readonly path: string;
  /** Version of the Debian package it belongs to, otherwise "of this machine". */
  readonly version: string;
}

/**
 * Finds a program, or installs it from Debian on first need.
 *
 * @param why - completes the line that is printed before an installation: "installing zip (Debian) for …"
 * @throws {SystemUnavailableError} it is not there and cannot be installed
 */
export async function requireProgram(name: ProgramName, why = "the tests that call it"): Promise<Program> {
  const program = (await requirePrograms([name], why))[name];
  reportSystem(name, program.version);
  return program;
}

/** Finds several programs and installs those that are missing in one go. */
export async function requirePrograms<Name extends ProgramName>(
  names: readonly Name[],
  why: string,
): Promise<Record<Name, Program>> {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    await installDebianPackages(
      missing.map((name) => packageOf[name]),
      why,
      () => missing.every((name) => findProgram(name) !== undefined),
    );
  }
  const programs = await Promise.all(names.map(async (name) => [name, await describe(name)] as const));
  return Object.fromEntries(programs) as Record<Name, Program>;
}

async function describe(name: ProgramName): Promise<Program> {
  const path = findProgram(name);
  if (path === undefined) throw new SystemUnavailableError(name, `${packageOf[name]} brought no such program`);
  return { path, version: await debianVersion(packageOf[name]) };
}

async function debianVersion(packageName: string): Promise<string> {
  if (findProgram("dpkg-query") === undefined) return "of this machine";
  try {
    return await runProgram("dpkg-query", ["--show", "--showformat", "${Version}", packageName], {
      environment: callerEnvironment(),
    });
  } catch {
    // The program was there before, and not from this package.
    return "of this machine";
  }
}
