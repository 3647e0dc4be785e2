import { array, assert, property, stringMatching } from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOfIds, filesKey, keyFiles } from "./files-key.ts";

const lockA = "9e9d7861c693f8d469f0028aa9a97324f280eb56";
const lockB = "73d7b594bf78cba1c2f95506e0be5539cf543d84";
const both = "a56d875999860d0dbca1f4fc190ff75c699caa2e";
const onlyA = "4cbcdfa233bd5407ddbb867c3910c1d28dc834c6";

describe("digestOfIds", () => {
  it("gives the digests that a server computes for known blobs", () => {
    expect(digestOfIds([lockA, lockB])).toBe(both);
    expect(digestOfIds([lockA])).toBe(onlyA);
  });

  it("is the word default without any id", () => {
    expect(digestOfIds([])).toBe("default");
  });

  it("does not depend on order or repetition", () => {
    const ids = array(stringMatching(/^[0-9a-f]{40}$/), { minLength: 1, maxLength: 6 });
    assert(
      property(ids, (list) => {
        expect(digestOfIds([...list, ...list].toReversed())).toBe(digestOfIds(list));
      }),
    );
  });
});

describe("filesKey", () => {
  it.each([
    { row: "first entry, one file", files: ["Gemfile.lock"], ids: [lockA], index: 0, key: `0_Gemfile-${onlyA}` },
    {
      row: "CA A20: second entry, two files",
      files: ["yarn.lock", "package.json"],
      ids: [lockA, lockB],
      index: 1,
      key: `1_yarn_package-${both}`,
    },
    {
      row: "a file in a directory keeps its slash",
      files: ["app/deps.txt"],
      ids: [lockA],
      index: 0,
      key: `0_app/deps-${onlyA}`,
    },
    { row: "a dot file has no name", files: [".tool-versions"], ids: [lockA], index: 0, key: `0_-${onlyA}` },
    { row: "no file exists", files: ["gone.lock"], ids: [], index: 0, key: "0_gone-default" },
    {
      row: "a leading slash does not count",
      files: ["/Gemfile.lock"],
      ids: [lockA],
      index: 0,
      key: `0_Gemfile-${onlyA}`,
    },
  ])("$row", ({ files, ids, index, key }) => {
    expect(filesKey({ files, ids, index })).toBe(key);
  });

  it("puts a prefix in front, and nothing for an empty one", () => {
    expect(filesKey({ files: ["a"], ids: [lockA], index: 0, prefix: "$CI_JOB_NAME" })).toBe(`$CI_JOB_NAME-${onlyA}`);
    expect(filesKey({ files: ["a"], ids: [lockA], index: 0, prefix: "" })).toBe(onlyA);
  });
});

describe("keyFiles", () => {
  it("drops blanks, repetitions and leading slashes", () => {
    expect(keyFiles(["/a", " ", "a", "", "//b/c"])).toEqual(["a", "b/c"]);
  });
});
