// `fleetfoot exec` against gitlab-ci-local: the same pipelines, turn and turn about.
import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireProgram } from "@fleetfoot-tooling/systems";
import { fleetfootProgram, repositoryRoot, run } from "./process.ts";
import { median, spread } from "./statistics.ts";

const PEER = "gitlab-ci-local@4.75.1";
const ROUNDS = 5;
const LIST_ROUNDS = 10;
const ECHO_PIPELINE = `stages: [one, two, three]
a: { stage: one, script: [echo a] }
b: { stage: one, script: [echo b] }
c: { stage: two, script: [echo c] }
d: { stage: two, script: [echo d] }
e: { stage: three, script: [echo e] }
f: { stage: three, script: [echo f] }
`;

export async function measure(): Promise<void> {
  await requireProgram("rsync");
  const peer = await installPeer();
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  try {
    const site = join(folder, "static-site");
    await cp(join(repositoryRoot, "examples/static-site"), site, {
      recursive: true,
      filter: (path) => !path.includes(".fleetfoot"),
    });
    await makeRepository(site);
    const echo = join(folder, "echo");
    await mkdir(echo);
    await writeFile(join(echo, ".gitlab-ci.yml"), ECHO_PIPELINE);
    await writeFile(join(echo, ".gitignore"), ".fleetfoot/\n.gitlab-ci-local/\n");
    await makeRepository(echo);

    const secret = `bench-${randomBytes(8).toString("hex")}`;
    const ours = (cwd: string, ...words: string[]) =>
      run(process.execPath, [fleetfootProgram, "exec", ...words], { cwd, environment: { DEPLOY_TOKEN: secret } });
    const theirs = (cwd: string, ...words: string[]) =>
      run(process.execPath, [peer, "--force-shell-executor", "--variable", `DEPLOY_TOKEN=${secret}`, ...words], {
        cwd,
      });

    // One run each fills the caches; only runs that find them are compared.
    await ours(site, "--secret", "DEPLOY_TOKEN");
    await theirs(site);
    await compare(
      "example pipeline, caches filled",
      ROUNDS,
      0.8,
      () => ours(site, "--secret", "DEPLOY_TOKEN"),
      () => theirs(site),
    );
    await compare(
      "six echo jobs",
      ROUNDS,
      0.8,
      () => ours(echo),
      () => theirs(echo),
    );
    await compare(
      "list as JSON",
      LIST_ROUNDS,
      0.5,
      () => ours(site, "--list", "--json"),
      () => theirs(site, "--list-json"),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compare(
  name: string,
  rounds: number,
  target: number,
  ours: () => Promise<{ readonly milliseconds: number }>,
  theirs: () => Promise<{ readonly milliseconds: number }>,
): Promise<void> {
  const own: number[] = [];
  const other: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    own.push((await ours()).milliseconds);
    other.push((await theirs()).milliseconds);
  }
  const ratio = median(own.map((milliseconds, round) => milliseconds / (other[round] ?? Number.NaN)));
  console.log(
    `${name}: fleetfoot ${spread(own, "ms")}, gitlab-ci-local ${spread(other, "ms")}, ratio ${ratio.toFixed(2)} (to reach ${target})`,
  );
}

/** Installs the other program into an ignored folder, once. */
async function installPeer(): Promise<string> {
  const folder = join(repositoryRoot, "bench/.data", PEER.replace("@", "-"));
  const program = join(folder, "node_modules/gitlab-ci-local/dist/index.js");
  if (!existsSync(program)) {
    console.log(`Installing ${PEER} to compare with`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), '{ "private": true }\n');
    await run("npm", ["install", "--no-audit", "--no-fund", PEER], { cwd: folder });
  }
  return program;
}

async function makeRepository(folder: string): Promise<void> {
  const git = (...words: string[]) => run("git", words, { cwd: folder });
  await git("init", "--quiet", "--initial-branch=main");
  await git("remote", "add", "origin", "https://gitlab.example.com/group/project.git");
  await git("add", "--all");
  await git("-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "--message", "Bench");
}
