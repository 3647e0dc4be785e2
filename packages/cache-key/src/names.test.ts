import { assert, constantFrom, array, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { CacheKeyError } from "./errors.ts";
import { localCachePath, objectName, projectSlug } from "./names.ts";

const hash = "d03a852ba491ba611e907b1ef60ad5c4516a05b8f3aae6abb77f42bc60325aed";
const runnerShortToken = "AbCdEfGhI";
const climbing = array(constantFrom("..", "/", ".", "42", "a", ""), { maxLength: 10 }).map((parts) => parts.join(""));

describe("objectName", () => {
  it("CA B1: puts a runner's own caches below its short token", () => {
    const name = objectName({ runnerShortToken, projectId: 42, key: "k" });
    expect(name).toBe("runner/AbCdEfGhI/project/42/k");
  });

  it("CA B2: leaves the token out when the caches are shared, and cleans the configured path", () => {
    const name = objectName({ path: "a/b/", shared: true, runnerShortToken, projectId: 42, key: "k" });
    expect(name).toBe("a/b/project/42/k");
  });

  it("CA B3: accepts a key that comes back to its own project", () => {
    expect(objectName({ runnerShortToken, projectId: 42, key: "../42/k" })).toBe("runner/AbCdEfGhI/project/42/k");
  });

  it.each(["../42-x", "../42", "..", "../43/k", "."])("CA B4: refuses the key %j, which leaves the project", (key) => {
    expect(() => objectName({ runnerShortToken, projectId: 42, key })).toThrow(
      expect.objectContaining({ code: "outside-base", key }),
    );
  });

  it("puts the first two characters of a hash in front of it", () => {
    const name = objectName({ shared: true, runnerShortToken, projectId: 10, key: hash, hashed: true });
    expect(name).toBe(`project/10/d0/${hash}`);
  });

  it("refuses a hash without two characters", () => {
    const options = { shared: true, runnerShortToken, projectId: 10, key: "d", hashed: true };
    expect(() => objectName(options)).toThrow(expect.objectContaining({ code: "key-too-short" }));
  });

  it("never leaves the project, whatever the key", () => {
    assert(
      property(climbing, (key) => {
        const name = orRefused(() => objectName({ path: "../p", runnerShortToken, projectId: 42, key }));
        if (name !== undefined) expect(name).toMatch(/^\.\.\/p\/runner\/AbCdEfGhI\/project\/42\/(?!\.\.?(\/|$)).+$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("localCachePath", () => {
  it("CA B5: lies below the cache directory, in a directory named like the project's URL", () => {
    const directory = `/cache/${projectSlug("https://h/g/sub/p.git", 7)}`;
    expect(localCachePath(directory, "k")).toBe("/cache/g/sub/p/k/cache.zip");
  });

  it("CA B6: is named by the project's id when the URL has no host", () => {
    const directory = `/cache/${projectSlug("git@h:g/p.git", 7)}`;
    expect(localCachePath(directory, "k")).toBe("/cache/project-7/k/cache.zip");
  });

  it("never leaves the project's directory, whatever the key", () => {
    assert(
      property(climbing, (key) => {
        const path = orRefused(() => localCachePath("/cache/g/p", key));
        if (path !== undefined) expect(path).toMatch(/^\/cache\/g\/p\/(?!\.\.?\/).+\/cache\.zip$/);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([".", "..", "../.."])(
    "refuses the directory %j, below which nothing can be told from outside",
    (directory) => {
      expect(() => localCachePath(directory, "../x")).toThrow(expect.objectContaining({ code: "outside-base" }));
    },
  );
});

describe("projectSlug", () => {
  it.each([
    ["https://h/g/p.git", "g/p"],
    ["https://user:secret@h:8443/g/p.git", "g/p"],
    ["ssh://git@h/g/p.git", "g/p"],
    ["https://h//g//p", "g/p"],
    ["https://h/g/p.git?x#y", "g/p"],
    ["https://h/g%20x/p.git", "g x/p"],
    ["https://h", "project-7"],
    ["https://h/.git", "project-7"],
    ["https://h/g/../p.git", "project-7"],
    ["https://h/g/%2e%2e/p.git", "project-7"],
    ["https://h/a..b/p.git", "project-7"],
    ["https://h/%zz/p.git", "project-7"],
    ["file:///srv/git/p.git", "project-7"],
    ["h:g/p.git", "project-7"],
    ["/srv/git/p.git", "project-7"],
    ["", "project-7"],
  ])("names the directory of %j %j", (url, slug) => {
    expect(projectSlug(url, 7)).toBe(slug);
    expect(projectSlug(url, 7, { emptyCheckout: true })).toBe(`${slug}-empty`);
  });
});

function orRefused(make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    if (CacheKeyError.isInstance(error)) return undefined;
    throw error;
  }
}
