import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, expect, it } from "vitest";
import { testProject } from "../testing/project.ts";

const PIPELINE = `stages: [install, build, check]
default: { image: fleetfoot-bash-git-and-node }
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
  script: [cat site.txt, test ! -e /usr/bin/node]
`;

describeWithSystem("docker-engine", (engine) => {
  beforeAll(async () => {
    await importImage(engine());
    await importImage(engine(), { content: "bash-git-and-node" });
  });

  it("fleetfoot exec --executor docker runs a pipeline in the images of its jobs, with cache hits the second time", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE, "lock.json": "{}" });
    const run = async (): Promise<{ readonly code: number; readonly printed: string }> => {
      const more = { DOCKER_HOST: engine().dockerHost, DEPLOY_TOKEN: "s3cr3t-value-of-the-test" };
      const ran = await project.exec(["--executor", "docker", "--secret", "DEPLOY_TOKEN"], more);
      return { code: ran.code, printed: ran.printed() + ran.complained() };
    };
    const first = await run();
    expect(first.printed).toMatch(/check +\| answer 42/);
    expect(first.printed).toMatch(/build +\| token is \[MASKED\]/);
    expect([first.code, first.printed]).toEqual([0, expect.stringContaining("Pipeline passed")]);
    expect(first.printed).not.toContain("no effect with the shell executor");
    const second = await run();
    expect([second.code, second.printed]).toEqual([0, expect.stringMatching(/install +\| installed before/)]);
    const containers = await engine().request({ method: "GET", path: "/containers/json?all=1" });
    expect(containers.json()).toEqual([]);
  });
});
