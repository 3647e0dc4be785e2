import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { createRunnerLog } from "./job-log.ts";

function directories(root: string, cache: string): Parameters<ReturnType<typeof createRunnerLog>["namePathsOf"]>[0] {
  return { builds: root, project: `${root}/p`, temporary: `${root}/p.tmp`, cache };
}

it("names directories of this host as the scripts know them, once they are known", () => {
  const stream = new PassThrough({ encoding: "utf8" });
  const log = createRunnerLog({ stream, sections: false, now: () => 0 });
  log.plain("in /srv/job/p");
  log.namePathsOf(directories("/srv/job", "/srv/caches/1"), directories("/builds/group", "/cache"));
  log.warning('"x" matches no files in /srv/job/p, nor /srv/job/p.tmp/x');
  log.plain("/srv/caches/1/key of /srv/job");
  const text = String(stream.read());
  expect(text).toContain("in /srv/job/p");
  expect(text).toContain("no files in /builds/group/p, nor /builds/group/p.tmp/x");
  expect(text).toContain("/cache/key of /builds/group");
});

it("leaves them alone where they are the same", () => {
  const stream = new PassThrough({ encoding: "utf8" });
  const log = createRunnerLog({ stream, sections: false, now: () => 0 });
  log.namePathsOf(directories("/srv/job", "/c"), directories("/srv/job", "/c"));
  log.plain("in /srv/job/p");
  expect(String(stream.read())).toContain("in /srv/job/p");
});
