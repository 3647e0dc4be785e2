import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { runCli } from "../cli.ts";
import { testContext, type TestContext } from "./context.ts";

const runFile = promisify(execFile);

/** A git repository in a temporary folder. */
export interface TestProject {
  readonly directory: string;
  write(name: string, text: string): Promise<void>;
  git(...words: string[]): Promise<string>;
  /** Runs `fleetfoot exec` in it. */
  exec(
    words?: readonly string[],
    environment?: Readonly<Record<string, string>>,
  ): Promise<{ readonly code: number } & TestContext>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The environment in which tests run programs: the PATH and a home of their own. */
export function testEnvironment(home: string): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", HOME: home, GIT_CONFIG_NOSYSTEM: "1", LANG: "C.UTF-8" };
}

/** Makes a repository with one commit that holds the given files. */
export async function testProject(files: Readonly<Record<string, string>>): Promise<TestProject> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-project-"));
  const directory = join(folder, "project");
  await mkdir(directory);
  const environment = testEnvironment(folder);
  const git = async (...words: string[]): Promise<string> =>
    (await runFile("git", words, { cwd: directory, env: environment })).stdout;
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  };
  for (const [name, text] of Object.entries({ ".gitignore": ".fleetfoot/\n", ...files })) await write(name, text);
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", "first");
  return {
    directory,
    write,
    git,
    async exec(words = [], more = {}) {
      const context = testContext({
        environment: { ...environment, ...more },
        workingDirectory: directory,
        homeDirectory: folder,
      });
      return { ...context, code: await runCli(["exec", ...words], context) };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
