import { describe, expect, it } from "vitest";

import { jobDirectories, moveProject } from "./directories.ts";
import { JobConfigurationError, JobRunnerError } from "./errors.ts";

const OPTIONS = {
  buildsDirectory: "/builds",
  cacheDirectory: "/cache",
  shared: true,
  runnerToken: "glrt-AbCdEfGhIjKlMnOp",
  concurrentProjectId: 3,
  repositoryUrl: "https://h/g/sub/p.git",
  projectId: 42,
  emptyCheckout: false,
};

describe("the directories of a job", () => {
  it("are its own where jobs share the builds directory", () => {
    expect(jobDirectories(OPTIONS)).toEqual({
      builds: "/builds",
      project: "/builds/AbCdEfGhI/3/g/sub/p",
      temporary: "/builds/AbCdEfGhI/3/g/sub/p.tmp",
      cache: "/cache/g/sub/p",
    });
  });

  it.each([
    ["not shared", { shared: false }, "/builds/g/sub/p", "/cache/g/sub/p"],
    ["without sources", { shared: false, emptyCheckout: true }, "/builds/g/sub/p-empty", "/cache/g/sub/p-empty"],
    ["of a path", { shared: false, repositoryUrl: "/srv/p.git" }, "/builds/project-42", "/cache/project-42"],
    [
      "of a path upwards",
      { shared: false, repositoryUrl: "https://h/../../etc" },
      "/builds/project-42",
      "/cache/project-42",
    ],
  ])("%s", (_, changes, project, cache) => {
    expect(jobDirectories({ ...OPTIONS, ...changes })).toMatchObject({ project, cache });
  });
});

describe("GIT_CLONE_PATH", () => {
  const directories = jobDirectories(OPTIONS);

  it("moves the project where that is allowed", () => {
    expect(moveProject(directories, "/builds/go/src/p", true)).toMatchObject({
      project: "/builds/go/src/p",
      temporary: "/builds/go/src/p.tmp",
    });
  });

  it.each([
    ["/elsewhere", true, "builds root"],
    ["/builds/../etc", true, "builds root"],
    ["/buildsx/p", true, "builds root"],
    ["/builds", true, "builds root"],
    ["/builds/go", false, "custom_build_dir"],
  ])("to %s, allowed: %s, is refused", (path, allowed, text) => {
    expect(() => moveProject(directories, path, allowed)).toThrow(text);
    try {
      moveProject(directories, path, allowed);
    } catch (error) {
      expect(error).toBeInstanceOf(JobConfigurationError);
      expect(JobRunnerError.isInstance(error) && error.failureReason).toBe("runner_configuration_error");
    }
  });
});
