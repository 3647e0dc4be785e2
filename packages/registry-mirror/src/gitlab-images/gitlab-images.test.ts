import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createRewriteRule,
  ImageReferenceError,
  parseImage,
  registryAuth,
  rewriteImage,
  tagTtlOfCacheValidity,
} from "./index.ts";

const hex = "a".repeat(64);
const prefix = "gitlab.example.com:443/group/dependency_proxy/containers";
const virtual = "gitlab.example.com/virtual_registries/container/1";

describe("rewriteImage", () => {
  it.each([
    ["alpine:3.20", `${prefix}/alpine:3.20`, "rewritten"],
    [`docker.io/library/alpine@sha256:${hex}`, `${prefix}/library/alpine@sha256:${hex}`, "rewritten"],
    ["index.docker.io/org/app", `${prefix}/org/app`, "rewritten"],
    ["quay.io/org/app:1", "quay.io/org/app:1", "registry-not-covered"],
    [`${prefix}/alpine:3.20`, `${prefix}/alpine:3.20`, "already-there"],
    ["localhost:5000/x", "localhost:5000/x", "registry-not-covered"],
    [`sha256:${hex}`, `sha256:${hex}`, "image-id"],
    [hex, hex, "image-id"],
  ])("RM G6: makes of %s %s (%s)", (text, image, reason) => {
    const rule = createRewriteRule({ prefix });
    expect(rewriteImage(text, rule)).toEqual({ image, reason, rewritten: reason === "rewritten" });
  });

  it("RM G6: replaces other registries only when told, and keeps what is excluded", () => {
    const rule = createRewriteRule({ prefix: virtual, from: ["docker.io", "quay.io"], exclude: ["^internal/"] });
    expect(rewriteImage("quay.io/org/app:1", rule).image).toBe(`${virtual}/org/app:1`);
    expect(rewriteImage("internal/app", rule)).toMatchObject({ image: "internal/app", reason: "excluded" });
  });

  it.each([
    ["$MY_PREFIX/alpine", "$MY_PREFIX"],
    ["Alpine", "Alpine"],
    ["alpine:", ""],
    ["alpine@sha256:12", "sha256:12"],
    ["", ""],
  ])("RM G6: names the part of %j that is wrong", (text, part) => {
    const error = caught(() => rewriteImage(text, createRewriteRule({ prefix })));
    expect(ImageReferenceError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ part });
  });

  it.each([
    "https://gitlab.example.com/x",
    "user:secret@gitlab.example.com/x",
    "gitlab.example.com/x?y=z",
    "gitlab.example.com/x y",
    "group/x",
  ])("RM G7: refuses the prefix %j without printing a password", (bad) => {
    const error = caught(() => createRewriteRule({ prefix: bad }));
    expect(error).toBeInstanceOf(TypeError);
    expect(String(error)).not.toContain("secret");
  });

  it("RM G7: drops a slash at the end of the prefix", () => {
    expect(rewriteImage("alpine", createRewriteRule({ prefix: `${prefix}/` })).image).toBe(`${prefix}/alpine`);
  });
});

describe("registryAuth", () => {
  const job = { type: "registry", url: "gitlab.example.com:443", username: "gitlab-ci-token" };

  it.each([
    ["gitlab.example.com:443/g/dependency_proxy/containers/alpine", "gitlab.example.com:443"],
    ["gitlab.example.com/virtual_registries/container/1/alpine", "gitlab.example.com"],
    ["gitlab.example.com:5050/g/app", undefined],
    ["gitlab.example.com.evil.example/x", undefined],
    ["evil.example/gitlab.example.com/x", undefined],
    ["alpine", undefined],
  ])("RM G8: finds the job's login for %s only where it belongs", (image, serverAddress) => {
    const found = registryAuth(image, [job]);
    expect(found).toEqual(serverAddress === undefined ? undefined : { serverAddress, credentials: job });
  });

  it("RM G8: takes a host inside a path for no host", () => {
    expect(() => registryAuth("evil.example/gitlab.example.com:443/x", [job])).toThrow(ImageReferenceError);
  });

  it("RM G9: takes the longest path, only at a slash, and only entries of type registry", () => {
    const host = { type: "registry", url: "registry.example.com" };
    const group = { type: "registry", url: "https://registry.example.com/group" };
    const other = { type: "terraform", url: "registry.example.com/group/app" };
    const find = (image: string): unknown => registryAuth(image, [host, group, other])?.credentials;
    expect(find("registry.example.com/group/app")).toBe(group);
    expect(find("registry.example.com/group2/app")).toBe(host);
    expect(registryAuth("registry.example.com/group/app", [other])).toBeUndefined();
  });

  it("leaves 80 out of a url without encryption only", () => {
    expect(registryAuth("h.example:80/x", [{ type: "registry", url: "http://h.example" }])).toBeUndefined();
    expect(registryAuth("h.example/x", [{ type: "registry", url: "http://h.example:80" }])).toBeDefined();
  });
});

describe("parseImage", () => {
  it("never throws anything else, and takes no text for another one", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[a-zA-Z0-9./:@_$-]{1,40}$/)), (text) => {
        try {
          const { digest, path, tag, writtenHost } = parseImage(text);
          const host = writtenHost === undefined ? "" : `${writtenHost}/`;
          const end = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
          expect(`${host}${path}${end}`).toBe(text);
        } catch (error) {
          if (!ImageReferenceError.isInstance(error)) throw error;
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

it("RM G12: the sub-path imports no module of node and does no IO", async () => {
  const seen = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = await readFile(file, "utf8");
    for (const [, specifier = ""] of source.matchAll(/from "([^"]+)"/g)) {
      expect(specifier).not.toMatch(/^node:/);
      if (specifier.startsWith(".")) await visit(join(file, "..", specifier));
      else expect(specifier).toBe("re2js");
    }
  };
  await visit(join(import.meta.dirname, "index.ts"));
  expect(seen.size).toBeGreaterThan(3);
  expect(await dependenciesOf("executor-docker")).not.toContain("@fleetfoot/registry-mirror");
});

function caught(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("it did not throw");
}

/** Empty as long as there is no such package. */
async function dependenciesOf(name: string): Promise<readonly string[]> {
  const packages = join(import.meta.dirname, "../../..");
  if (!(await readdir(packages)).includes(name)) return [];
  const { dependencies = {} } = JSON.parse(await readFile(join(packages, name, "package.json"), "utf8")) as {
    dependencies?: Record<string, string>;
  };
  return Object.keys(dependencies);
}

it("RM V9: takes hours of validity over from a virtual registry of GitLab, where 0 are for ever", () => {
  expect([24, 1, 0].map((hours) => tagTtlOfCacheValidity(hours))).toEqual([86_400_000, 3_600_000, "forever"]);
  for (const hours of [-1, 1.5, Number.NaN]) expect(() => tagTtlOfCacheValidity(hours)).toThrow(TypeError);
});
