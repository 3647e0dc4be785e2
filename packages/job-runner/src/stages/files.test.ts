import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { JobCache } from "@fleetfoot/coordinator-client";

import type { RemoteCache } from "../cache/index.ts";
import { helloJob, openHarness, plain, projectOf, script, withAfterScript } from "../test-support/job-harness.ts";
import type { Harness, Run } from "../test-support/job-harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness();
});
afterEach(() => harness.dispose());

const cacheEvents = ({ events }: Run): string[] =>
  events.flatMap((event) => (event.type === "cache" ? [event.event.kind] : []));

describe("artifacts", () => {
  const artifacts = [{ name: "$NAME-$FROM_SCRIPT", paths: ["out/"] }];
  const makeFile = script("mkdir -p out; echo made > out/file", "echo FROM_SCRIPT=later >> $GITLAB_ENV");

  it("are uploaded after a job that succeeded, named by its variables, those of GITLAB_ENV included", async () => {
    const job = helloJob({ steps: makeFile, artifacts }, [{ key: "NAME", value: "result" }]);
    const { result, coordinator, stages } = await harness.run(job);
    expect(result.outcome).toBe("success");
    expect(coordinator.uploads.map(({ upload }) => upload.fileName)).toEqual(["result-later.zip"]);
    expect(stages.slice(-2)).toEqual(["upload_artifacts_on_success", "cleanup_file_variables"]);
  });

  it("JE 19: that the coordinator never takes fail a job that had succeeded", async () => {
    const upload = (): object => ({ status: 500, outcome: "failed", message: "the coordinator answered 500" });
    const { result, coordinator, stages } = await harness.run(helloJob({ steps: makeFile, artifacts }), {
      answers: { upload },
    });
    expect(result).toMatchObject({ outcome: "failed", failureReason: "runner_system_failure" });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed" });
    expect(stages.at(-1)).toBe("cleanup_file_variables");
  });

  it("that fail do not hide why the script failed", async () => {
    const upload = (): object => ({ status: 500, outcome: "failed", message: "no" });
    const job = helloJob({ steps: script("touch x; exit 7"), artifacts: [{ paths: ["x"], when: "always" }] });
    const { result } = await harness.run(job, { answers: { upload } });
    expect(result).toMatchObject({ failureReason: "script_failure", exitCode: 7 });
  });

  it("are not uploaded by a runner without an address", async () => {
    const { coordinator, stages } = await harness.run(helloJob({ steps: makeFile, artifacts }), {
      runner: { url: "" },
    });
    expect(coordinator.uploads).toEqual([]);
    expect(stages).not.toContain("upload_artifacts_on_success");
  });

  it("of another job arrive before the script", async () => {
    const made = await harness.run(helloJob({ steps: makeFile, artifacts: [{ paths: ["out/"] }] }));
    const archive = made.coordinator.uploads[0]?.bytes ?? Buffer.alloc(0);
    const dependencies = [
      {
        id: 7,
        name: "make",
        token: "glcbt-dependency",
        artifacts_file: { filename: "artifacts.zip", size: archive.length },
      },
    ];
    const job = helloJob({ dependencies, steps: script("cat out/file") }, [{ key: "GIT_STRATEGY", value: "empty" }]);
    const { log, result } = await harness.run(job, { answers: { download: archive } });
    expect(result.outcome).toBe("success");
    expect(log).toContain("\nmade\n");
    expect(log).not.toContain("glcbt-dependency");
  });

  it("that are missing fail the job before its script", async () => {
    const dependencies = [{ id: 7, name: "make", token: "t", artifacts_file: { filename: "artifacts.zip" } }];
    const { result, stages } = await harness.run(helloJob({ dependencies }));
    expect(result.outcome).toBe("failed");
    expect(stages).toContain("download_artifacts");
    expect(stages).not.toContain("step_script");
  });
});

describe("caches", () => {
  const cache: readonly JobCache[] = [{ key: "deps", paths: ["deps/"] }];
  const remote = (put?: () => Promise<never>): RemoteCache => {
    const store = createMemoryStore();
    return {
      store: put === undefined ? store : { ...store, head: store.head.bind(store), get: store.get.bind(store), put },
      path: "",
      shared: false,
      runnerShortToken: "AbCdEfGhI",
      maxUploadedArchiveBytes: 0,
    };
  };

  it("are saved after one job and restored before the next, on this host", async () => {
    const steps = withAfterScript(["mkdir -p deps; echo x >> deps/list; wc -l < deps/list"], ["echo y >> deps/list"]);
    const first = await harness.run(helloJob({ cache, steps }, [{ key: "GIT_STRATEGY", value: "empty" }]));
    expect([first.stages.at(3), first.stages.at(-2)]).toEqual(
      ["restore_cache", "archive_cache"].toSorted().toReversed(),
    );
    const second = await harness.run(helloJob({ cache, steps }, [{ key: "GIT_STRATEGY", value: "empty" }]));
    expect(second.log).toContain("\n3\n");
    expect([...cacheEvents(first), ...cacheEvents(second)]).toEqual(["miss", "saved", "hit", "saved"]);
  });

  it("JE 20: that cannot be uploaded are a warning", async () => {
    const cacheStore = remote(() => Promise.reject(new Error("the store is read-only")));
    const job = helloJob({ cache, steps: script("mkdir -p deps; touch deps/x") });
    const { result, log, stages } = await harness.run(job, { options: { cacheStore } });
    expect(result.outcome).toBe("success");
    expect(stages).toContain("archive_cache");
    expect(plain(log)).toMatch(/WARNING: .*the store is read-only/);
  });

  it("CA H15: with a policy that does not exist fail the job before anything is fetched for it", async () => {
    const job = helloJob({ cache: [...cache, { key: "deps", paths: ["deps/"], policy: "$HOW" }] }, [
      { key: "HOW", value: "sometimes" },
    ]);
    const { result, stages, log } = await harness.run(job);
    expect(result).toMatchObject({ outcome: "failed" });
    expect(stages).not.toContain("get_sources");
    expect(stages).not.toContain("restore_cache");
    expect(log).toContain('unknown cache policy "sometimes" (from $HOW)');
  });

  it("of a failed job are saved where their entry says so", async () => {
    const entries = [{ key: "a", paths: ["deps/"], when: "on_failure" }, ...cache];
    const job = helloJob({ cache: entries, steps: script("mkdir -p deps; touch deps/x; exit 1") });
    const run = await harness.run(job);
    expect(run.stages).toContain("archive_cache_on_failure");
    expect(cacheEvents(run)).toEqual(["miss", "miss", "saved"]);
  });
});

it("leaves the project as the script left it when there is nothing to do", async () => {
  await mkdir(projectOf(harness.root), { recursive: true });
  await writeFile(join(projectOf(harness.root), "kept"), "kept");
  await harness.run(helloJob());
  expect(await readFile(join(projectOf(harness.root), "kept"), "utf8")).toBe("kept");
});
