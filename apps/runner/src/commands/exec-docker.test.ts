import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DockerEngine, importImage, repositoryFolder, startTinyproxy } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, expect, it } from "vitest";
import { containersOf } from "../testing/docker-world.ts";
import { type ChildRunner, startChild } from "../testing/process.ts";
import { testEnvironment, testProject } from "../testing/project.ts";

/** The image that the README's command names, made of this machine's programs. */
const NODE_IMAGE = "node:24";
const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";
const SECRET = "s3cr3t-value-of-the-test";

const PIPELINE = `stages: [install, build, check]
default:
  image: fleetfoot-bash-git-and-node
  before_script: [greeting=hello]
install:
  stage: install
  cache: { key: { files: [lock.json] }, paths: [node_modules/] }
  script:
    - if [ -d node_modules ]; then echo installed before; else mkdir -p node_modules/left; echo 'module.exports = 42' > node_modules/left/index.js; fi
build:
  stage: build
  cache: { key: { files: [lock.json] }, paths: [node_modules/], policy: pull }
  script:
    - node -e 'require("fs").writeFileSync("site.txt", "answer " + require("left"))'
    - echo "token is $DEPLOY_TOKEN"
    - git log --oneline | wc -l
  artifacts: { paths: [site.txt] }
check:
  stage: check
  needs: [build]
  image: fleetfoot-busybox
  services:
    - name: fleetfoot-busybox
      alias: web
      command: [httpd, -f, -p, "8080", -h, /etc]
      variables: { HEALTHCHECK_TCP_PORT: "8080" }
  script:
    - cat site.txt
    - test ! -e /usr/bin/node
    - echo "$greeting, $(wget -q -O - http://web:8080/group | head -n 1)"
`;

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-git-and-node" });
    const files = { [AUTHORITIES]: AUTHORITIES };
    await importImage(engine(), { content: "bash-git-node-and-npm", reference: NODE_IMAGE, files });
  });

  async function expectNothingLeft(): Promise<void> {
    expect(await containersOf(engine())).toEqual([]);
  }

  it("fleetfoot exec --executor docker runs a pipeline in the images of its jobs, with cache hits the second time", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE, "lock.json": "{}" });
    const run = async (): Promise<{ readonly code: number; readonly printed: string }> => {
      const more = { DOCKER_HOST: engine().dockerHost, DEPLOY_TOKEN: SECRET };
      const ran = await project.exec(["--executor", "docker", "--secret", "DEPLOY_TOKEN"], more);
      return { code: ran.code, printed: ran.printed() + ran.complained() };
    };
    const first = await run();
    expect(first.printed).toMatch(/check +\| answer 42/);
    expect(first.printed).toMatch(/build +\| token is \[MASKED\]/);
    expect(first.printed).toMatch(/check +\| hello, root:x:0:/);
    expect([first.code, first.printed]).toEqual([0, expect.stringContaining("Pipeline passed")]);
    expect(first.printed).not.toContain("no effect with the shell executor");
    const second = await run();
    expect([second.code, second.printed]).toEqual([0, expect.stringMatching(/install +\| installed before/)]);
    await expectNothingLeft();
  });

  it("SIGINT ends the containers of a local run; what a SIGKILL leaves, the next run removes", async () => {
    const pipeline = "long: { image: fleetfoot-busybox, script: [echo begun, sleep 600] }\n";
    await using project = await testProject({ ".gitlab-ci.yml": pipeline });
    const start = (): ChildRunner =>
      startChild(["exec", "--executor", "docker"], {
        directory: project.directory,
        environment: { ...testEnvironment(join(project.directory, "..")), DOCKER_HOST: engine().dockerHost },
      });
    const killed = start();
    await killed.printed("begun");
    killed.kill("SIGKILL");
    await killed.ended;
    const [left, ...others] = await containersOf(engine());
    expect([left, others]).toEqual([expect.stringMatching(/-build$/), []]);
    const stopped = start();
    await stopped.printed("begun");
    const running = await containersOf(engine());
    expect(running).toHaveLength(1);
    expect(running).not.toContain(left);
    stopped.kill("SIGINT");
    expect(await stopped.ended).toBe(1);
    await expectNothingLeft();
  }, 120_000);

  it("fleetfoot exec --executor docker --image node:24 runs the example of npm start in containers, twice, the second time with its caches", async () => {
    await using proxy = await startTinyproxy({ host: engine().hostAddress });
    const state = await mkdtemp(join(tmpdir(), "fleetfoot-example-"));
    try {
      const words = ["--executor", "docker", "--image", NODE_IMAGE, "--secret", "DEPLOY_TOKEN", "--state-dir", state];
      // The containers of the engine under test reach this machine only, and npm the registry by its proxy.
      const way = [`HTTPS_PROXY=http://${proxy.authority}`, `NODE_EXTRA_CA_CERTS=${AUTHORITIES}`];
      const run = (): Promise<string> => runExample(engine(), [...words, ...way.flatMap((one) => ["-v", one])], state);
      const first = await run();
      expect(first).toContain("Publishing with token [MASKED]");
      expect(first).toMatch(/^Caches: .*, 3 misses, 3 saved/m);
      const second = await run();
      expect(second).toContain("node_modules came from the cache");
      expect(second).toMatch(/^Caches: \d+ hits? .*, 0 misses/m);
      for (const printed of [first, second]) expect(printed).not.toContain(SECRET);
      const artifacts = (await readdir(state, { recursive: true })).filter((path) => path.endsWith(".zip"));
      expect(artifacts.length).toBeGreaterThan(0);
    } finally {
      await rm(state, { recursive: true, force: true });
    }
    await expectNothingLeft();
  }, 240_000);
});

/** Runs the pipeline of the example project to its end. @returns what was printed */
async function runExample({ dockerHost }: DockerEngine, words: readonly string[], home: string): Promise<string> {
  const child = startChild(["exec", ...words], {
    directory: join(repositoryFolder, "examples/static-site"),
    environment: { ...testEnvironment(home), DOCKER_HOST: dockerHost, DEPLOY_TOKEN: SECRET },
  });
  expect([await child.ended, child.output()]).toEqual([0, expect.stringContaining("Pipeline passed")]);
  return child.output();
}
