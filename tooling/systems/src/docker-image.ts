import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DockerEngine } from "./docker-engine.ts";
import { systemEnvironment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";
import { requirePrograms } from "./programs.ts";
import { runProgram } from "./run-program.ts";

/** What an image has in it. */
export interface ImageOptions {
  /**
   * `busybox`: one static program with a shell and the usual commands, 2 MB.
   * `bash-and-git`: bash, git (with http) and the GNU commands of this machine, with the libraries they need.
   * `docker`: the engine and the client of this machine beside busybox, 200 MB; `dockerd` runs in a privileged container.
   * `bash-git-and-node`: the same, and the Node that runs this.
   * `bash-git-node-and-npm`: the same, and this machine's npm.
   * @default "busybox"
   */
  readonly content?: "bash-and-git" | "bash-git-and-node" | "bash-git-node-and-npm" | "busybox" | "docker";
  /** Name and tag. @default "fleetfoot-<content>:latest" */
  readonly reference?: string;
  /** More files: absolute paths in the image to files of this machine, whose modes they get. @default none */
  readonly files?: Readonly<Record<string, string>>;
  /** More programs of this machine, by their absolute path in the image; their shared libraries come along. @default none */
  readonly programs?: Readonly<Record<string, string>>;
  /** What a container runs when it is told nothing else. @default the shell */
  readonly command?: readonly string[];
}

/** What is needed of an engine to bring an image into it. */
export type ImageTarget = Pick<DockerEngine, "folder" | "request">;

const imagePath = "/usr/bin:/bin";

const gnuPrograms =
  "bash basename cat chmod cp cut date dirname env expr find grep gzip head id ln ls mkdir mktemp mv printf pwd readlink " +
  "rm rmdir sed seq sleep sort tail tar tee test touch tr true false uname uniq wc xargs";

/**
 * Makes a small image from programs of this machine and imports it into an engine; no registry is involved.
 *
 * @returns the image's reference
 */
export async function importImage(engine: ImageTarget, options: ImageOptions = {}): Promise<string> {
  const {
    command,
    content = "busybox",
    reference = `fleetfoot-${content}:latest`,
    files = {},
    programs = {},
  } = options;
  const root = await mkdtemp(join(engine.folder, "image-"));
  try {
    const isSmall = content === "busybox" || content === "docker";
    await (isSmall ? layOutBusybox(root) : layOutBashAndGit(root, content.startsWith("bash-git-")));
    if (content === "docker") await layOutDocker(root);
    if (content === "bash-git-node-and-npm") await layOutNpm(root);
    await layOutCommon(root);
    for (const [target, source] of Object.entries(files)) {
      await mkdir(join(root, dirname(target)), { recursive: true });
      await cp(source, join(root, target), { dereference: true });
    }
    await layOutPrograms(
      root,
      Object.entries(programs).map(([target, source]) => ({ source, target })),
    );
    await importFolder(engine, root, reference, command ?? [isSmall ? "/bin/sh" : "/usr/bin/bash"]);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  return reference;
}

async function layOutBusybox(root: string): Promise<void> {
  const { busybox } = await requirePrograms(["busybox"], "a small image for tests with a Docker engine");
  const folder = join(root, "bin");
  await mkdir(folder, { recursive: true });
  await cp(busybox.path, join(folder, "busybox"));
  const commands = await runProgram(busybox.path, ["--list"], { environment: systemEnvironment("/") });
  for (const command of commands.split("\n").filter((name) => name !== "" && name !== "busybox")) {
    await symlink("busybox", join(folder, command));
  }
}

async function layOutBashAndGit(root: string, withNode: boolean): Promise<void> {
  const { git } = await requirePrograms(["git"], "an image with git for tests with a Docker engine");
  const environment = systemEnvironment("/");
  const gitFolder = (await runProgram(git.path, ["--exec-path"], { environment })).trim();
  const programs = [...gnuPrograms.split(" "), "git"].map((name) => ({
    source: sourceOf(name),
    target: `/usr/bin/${name}`,
  }));
  const submodule = ["git-submodule", "git-sh-setup", "git-sh-i18n", "git-sh-i18n--envsubst"];
  for (const name of ["git-remote-http", "git-remote-https", ...submodule]) {
    programs.push({ source: join(gitFolder, name), target: join(gitFolder, name) });
  }
  if (withNode) programs.push({ source: process.execPath, target: "/usr/bin/node" });
  await layOutPrograms(root, programs);
  // Without this folder every `git init` prints a warning.
  await mkdir(join(root, "usr/share/git-core/templates"), { recursive: true });
  await symlink("bash", join(root, "usr/bin/sh"));
  await symlink("usr/bin", join(root, "bin"));
}

async function layOutDocker(root: string): Promise<void> {
  await requirePrograms(
    ["containerd", "docker", "dockerd", "runc"],
    "an image of a Docker engine for tests with another",
  );
  const names = ["containerd", "containerd-shim-runc-v2", "docker", "dockerd", "runc"];
  await layOutPrograms(
    root,
    names.map((name) => ({ source: sourceOf(name), target: `/usr/bin/${name}` })),
  );
  await mkdir(join(root, "run"));
  await mkdir(join(root, "var/lib"), { recursive: true });
}

interface ProgramToCopy {
  readonly source: string;
  /** In the image. */
  readonly target: string;
}

/** With the libraries that they need. */
async function layOutPrograms(root: string, programs: readonly ProgramToCopy[]): Promise<void> {
  const files = new Map(programs.map(({ source, target }) => [target, source]));
  for (const { source } of programs) {
    for (const library of await librariesOf(source)) files.set(library, library);
  }
  for (const [target, source] of files) {
    await mkdir(join(root, dirname(target)), { recursive: true });
    await cp(source, join(root, target), { dereference: true });
  }
}

/** npm brings its dependencies in its own folder; only Debian's package of it spreads them over the machine. */
async function layOutNpm(root: string): Promise<void> {
  const program = await realpath(sourceOf("npm"));
  const folder = dirname(dirname(program));
  if (basename(program) !== "npm-cli.js" || !existsSync(join(folder, "node_modules"))) {
    throw new SystemUnavailableError("an image with npm", `the npm of this machine is not in one folder: ${program}`);
  }
  await cp(folder, join(root, "usr/lib/node_modules/npm"), { recursive: true });
  await symlink("../lib/node_modules/npm/bin/npm-cli.js", join(root, "usr/bin/npm"));
}

/** Absolute paths of the shared libraries and the loader that a program needs; none for a script. */
async function librariesOf(program: string): Promise<readonly string[]> {
  try {
    const listing = await runProgram("ldd", [program], { environment: systemEnvironment("/") });
    return [...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, path]) => path ?? "");
  } catch (error) {
    if (String(error).includes("not a dynamic executable")) return [];
    throw error;
  }
}

function sourceOf(name: string): string {
  const path = findProgram(name);
  if (path === undefined)
    throw new SystemUnavailableError("an image of programs of this machine", `there is no ${name}`);
  return path;
}

async function layOutCommon(root: string): Promise<void> {
  for (const folder of ["etc", "root", "tmp"]) await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  // Without it the C library asks a name server first, and never looks into the hosts file.
  await writeFile(join(root, "etc/nsswitch.conf"), "hosts: files dns\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
}

/** @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageCreate */
async function importFolder(
  engine: ImageTarget,
  root: string,
  reference: string,
  command: readonly string[],
): Promise<void> {
  const [repository = "", tag = "latest"] = splitReference(reference);
  const query = new URLSearchParams({ fromSrc: "-", repo: repository, tag });
  for (const change of [`ENV PATH=${imagePath}`, `CMD ${JSON.stringify(command)}`]) query.append("changes", change);
  const tar = spawn("tar", ["--create", "--owner=0", "--group=0", "--directory", root, "."], {
    env: systemEnvironment("/"),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(tar, "close");
  const answer = await engine.request({ method: "POST", path: `/images/create?${query}`, body: tar.stdout });
  const [status] = await ended;
  // The engine answers 200 before it reads the archive; a failure comes as a line of the body.
  if (status !== 0 || answer.status !== 200 || answer.text.includes('"error"')) {
    throw new Error(
      `import ${reference}: tar ended with ${status}, the engine answered ${answer.status} ${answer.text}`,
    );
  }
}

/** A colon before the last slash belongs to a registry's port. */
function splitReference(reference: string): readonly string[] {
  const colon = reference.lastIndexOf(":");
  const hasTag = colon > reference.length - basename(reference).length;
  return hasTag ? [reference.slice(0, colon), reference.slice(colon + 1)] : [reference];
}
