import { execFileSync } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pathFromBytes, pathToBytes } from "../path-bytes.ts";
import { openSelection, selectFiles } from "./select.ts";
import type { OpenSelection, SelectOptions, Selection } from "../types.ts";

let scratch: string;
let root: string;

beforeEach(async () => {
  scratch = await realpath(await mkdtemp(path.join(tmpdir(), "select-")));
  root = path.join(scratch, "project");
  await mkdir(path.join(root, "dir/sub"), { recursive: true });
  await mkdir(path.join(root, "empty"));
  for (const name of ["dir/f1", "dir/.dot", "dir/sub/f2.txt", "root.txt"]) await writeFile(path.join(root, name), name);
  await symlink("dir", path.join(root, "link"));
  await symlink("nowhere", path.join(root, "gone"));
});

afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

async function select(options: Partial<SelectOptions>): Promise<Selection> {
  return await selectFiles({ root, paths: [], ...options });
}

async function names(options: Partial<SelectOptions>): Promise<string[]> {
  return (await select(options)).entries.map((entry) => entry.path);
}

const DIR = ["dir", "dir/.dot", "dir/f1", "dir/sub", "dir/sub/f2.txt"];
const ALL = [...DIR, "empty", "gone", "link", "root.txt"];

describe("selectFiles", () => {
  it.each<[item: string, expected: string[]]>([
    ["dir", DIR],
    ["dir/", DIR],
    ["./dir", DIR],
    ["dir//", DIR],
    ["dir/*", DIR.slice(1)],
    ["dir/**", DIR],
    ["**/*.txt", ["dir/sub/f2.txt", "root.txt"]],
    ["**.txt", ["root.txt"]],
    ["*", ALL],
    [".", [".", ...ALL]],
    ["**", [".", ...ALL]],
    ["empty", ["empty"]],
    ["empty/*", []],
    ["link", ["link"]],
    ["link/", ["link"]],
    ["link/*", ["link/.dot", "link/f1", "link/sub", "link/sub/f2.txt"]],
    ["link/**", ["link/.dot", "link/f1", "link/sub", "link/sub/f2.txt"]],
    ["**/link/*", []],
    ["gone", []],
    ["gon*", ["gone"]],
    ["{dir,empty}", [...DIR, "empty"]],
    ["DIR", []],
    ["root.txt/", ["root.txt"]],
    ["*/", ALL],
    ["../project/root.*", ["root.txt"]],
    ["*/../root.txt", ["root.txt"]],
    ["root.txt/x", []],
  ])("finds for %s what the reference finds", async (item, expected) => {
    expect(await names({ paths: [item] })).toEqual(expected);
  });

  it.each(["../", "/etc", "../*", "*/../../x"])("warns that %s is outside, and takes nothing", async (item) => {
    const { entries, warnings } = await select({ paths: [item] });
    expect(entries).toEqual([]);
    expect(warnings[0]).toContain(`"${item}" is outside the project directory ${root}`);
  });

  it("warns of a malformed pattern and of an empty item, and goes on", async () => {
    const { entries, warnings } = await select({ paths: ["[b", "", "$UNSET", "root.txt"] });
    expect(entries.map((entry) => entry.path)).toEqual(["root.txt"]);
    expect(warnings).toEqual([
      '"[b" is not a valid pattern; it is ignored.',
      "An empty path is ignored.",
      '"$UNSET" expands to an empty path; it is ignored.',
    ]);
  });

  it("CA D1: `dir/*` gives no entry for the folder itself", async () => {
    expect(await names({ paths: ["dir/*"] })).not.toContain("dir");
  });

  it("CA D2: excluding a folder drops its own entry and keeps its content", async () => {
    expect(await names({ paths: ["dir"], exclude: ["dir/sub"] })).toEqual([
      "dir",
      "dir/.dot",
      "dir/f1",
      "dir/sub/f2.txt",
    ]);
  });

  it("CA D3: excluding `dir/sub/**` drops the folder and its content", async () => {
    const { entries, reports } = await select({ paths: ["dir"], exclude: ["dir/sub/**"] });
    expect(entries.map((entry) => entry.path)).toEqual(["dir", "dir/.dot", "dir/f1"]);
    expect(reports).toContainEqual({ kind: "exclude", item: "dir/sub/**", count: 2 });
  });

  it("CA H9: keeps later exclude items when an earlier one is unusable", async () => {
    const { entries, warnings } = await select({ paths: ["dir"], exclude: ["/etc", "[x", "**/*.txt"] });
    expect(entries.map((entry) => entry.path)).toEqual(["dir", "dir/.dot", "dir/f1", "dir/sub"]);
    expect(warnings).toHaveLength(2);
  });

  it("CA D4: a path that a variable puts outside gives a warning and nothing", async () => {
    const { entries, warnings } = await select({ paths: ["$HOME/.npm"], environment: { HOME: scratch } });
    expect(entries).toEqual([]);
    expect(warnings[0]).toContain(`"${scratch}/.npm" is outside the project directory`);
  });

  it("CA D5: an absolute path into the project is the same as a relative one", async () => {
    expect(await names({ paths: [`${root}/dir`] })).toEqual(DIR);
    expect(await names({ paths: [root] })).toEqual([".", ...ALL]);
    expect(await names({ paths: [`${root}/**/f1`] })).toEqual(["dir/f1"]);
  });

  it("CA D6: a dangling link is found by a glob, not by its name", async () => {
    const named = await select({ paths: ["gone"] });
    expect(named.entries).toEqual([]);
    expect(named.warnings[0]).toBe(`"gone" matches no files in the working directory ${root}.`);
    const matched = await select({ paths: ["gon*"] });
    expect(matched.entries).toMatchObject([{ path: "gone", kind: "symlink", bytes: 0 }]);
  });

  it("CA D7: a default stands in for an unset variable", async () => {
    expect(await names({ paths: ["${D:-dir}"] })).toEqual(DIR);
  });

  it("CA D8: command substitution is a warning, and the item is taken literally", async () => {
    await mkdir(path.join(root, "$(pwd)"));
    const { entries, warnings } = await select({ paths: ["$(pwd)"] });
    expect(entries.map((entry) => entry.path)).toEqual(["$(pwd)"]);
    expect(warnings[0]).toContain('"$(pwd)" is taken as it is');
    await rm(path.join(root, "$(pwd)"), { recursive: true });
    expect(await names({ paths: ["$(pwd)"] })).toEqual([]);
  });

  it("CA D9: untracked without git is a warning and no files", async () => {
    const { entries, warnings } = await select({
      untracked: true,
      spawn: ((_command: string, ...rest: unknown[]) =>
        Reflect.apply(spawn, undefined, ["no-such-git", ...rest])) as typeof spawn,
    });
    expect(entries).toEqual([]);
    expect(warnings[0]).toBe("Untracked files are left out: list untracked files: git was not found");
  });

  it("takes what git does not track, ignored files too, without what is excluded", async () => {
    execFileSync("git", ["init", "-q"], { cwd: root });
    await writeFile(path.join(root, ".gitignore"), "root.txt\n");
    execFileSync("git", ["add", "dir/f1", ".gitignore"], { cwd: root });
    expect(await names({ untracked: true, exclude: ["**/f2*"] })).toEqual(["dir/.dot", "gone", "link", "root.txt"]);
  });

  it("says why git failed", async () => {
    const { entries, warnings } = await select({ untracked: true });
    expect(entries).toEqual([]);
    expect(warnings[0]).toContain("not a git repository");
  });

  it("CA D10: nothing found is an empty list and a warning that names the working directory", async () => {
    const { entries, warnings } = await select({ paths: ["nothing/*"] });
    expect(entries).toEqual([]);
    expect(warnings).toContain(`No files were found in the working directory ${root}.`);
  });

  it("CA C7: leaves out a FIFO in a folder, without an error", async () => {
    execFileSync("mkfifo", [path.join(root, "dir/pipe")]);
    expect(await names({ paths: ["dir"] })).toEqual(DIR);
  });

  it("counts visits, so that overlapping matches count again", async () => {
    const { reports } = await select({ paths: ["dir", "dir/**"] });
    // dir 5, dir/.dot 1, dir/f1 1, dir/sub 2, dir/sub/f2.txt 1
    expect(reports.map(({ item, count }) => [item, count])).toEqual([
      ["dir", 5],
      ["dir/**", 10],
    ]);
  });

  it("leaves out a link when files below it are chosen, since both could not be restored", async () => {
    const { entries, warnings } = await select({ paths: ["link", "link/f*"] });
    expect(entries.map((entry) => entry.path)).toEqual(["link/f1"]);
    expect(warnings).toEqual(['The link "link" is left out, since files below it were chosen.']);
  });

  it("finds names that are not UTF-8, and gives their bytes back", async () => {
    const name = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82, 0xac]);
    await writeFile(Buffer.concat([Buffer.from(`${root}/empty/`), name]), "odd");
    const [, entry] = (await select({ paths: ["empty"] })).entries;
    expect(entry?.path).toBe(`empty/${pathFromBytes(name)}`);
    expect(pathToBytes(entry?.path ?? "")).toEqual(Buffer.concat([Buffer.from("empty/"), name]));
    expect(await names({ paths: ["empty/a*€"] })).toEqual([entry?.path]);
  });

  it("sorts by bytes, also where JavaScript's own order differs", async () => {
    for (const name of ["\u{1f600}", "\uff5e", "a", "a-b", "a/x"]) {
      if (name.includes("/")) await mkdir(path.join(root, "empty/order", path.dirname(name)), { recursive: true });
      else if (name !== "a") await mkdir(path.join(root, "empty/order", name), { recursive: true });
    }
    await writeFile(path.join(root, "empty/order/a/x"), "");
    expect(await names({ paths: ["empty/order/*"] })).toEqual(
      ["a", "a-b", "a/x", "\uff5e", "\u{1f600}"].map((name) => `empty/order/${name}`),
    );
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("stop");
    await expect(select({ paths: ["*"], signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("openSelection", () => {
  it.each<[what: string, options: Partial<SelectOptions>]>([
    ["a folder", { paths: ["dir"] }],
    ["items that name different folders", { paths: ["root.txt", "empty", "nothing", "[b", "dir/*"] }],
    ["items of which one begins like the other", { paths: ["dir-b", "dir"] }],
    ["items that overlap", { paths: ["dir/**", "dir/sub", "."] }],
    ["a link and what is behind it", { paths: ["link/**", "empty"] }],
    ["a link, and what is behind it by another item", { paths: ["link", "link/sub"] }],
    ["exclusions", { paths: ["dir", "root.txt"], exclude: ["**/*.txt", "../x", "["] }],
    ["nothing at all", { paths: ["nothing"] }],
  ])("finds what selectFiles finds, each path once and in byte order: %s", async (_what, options) => {
    await mkdir(path.join(root, "dir-b"));
    const expected = await select(options);
    const selection = openSelection({ root, paths: [], ...options });
    expect(await selection.hasEntries()).toBe(expected.entries.length > 0);
    const found = await taken(selection);
    expect(found).toEqual(expected.entries.map((entry) => entry.path));
    expect(found).toEqual([...new Set(found)].toSorted((a, b) => Buffer.compare(pathToBytes(a), pathToBytes(b))));
    expect(selection.warnings).toEqual(expected.warnings);
    expect(selection.reports).toEqual(expected.reports);
  });

  it("reports items in the order given, whatever order they are walked in", async () => {
    const { reports, warnings } = await select({ paths: ["root.txt", "nothing", "empty", "dir", "absent"] });
    expect(reports.map(({ item, count }) => [item, count])).toEqual([
      ["root.txt", 1],
      ["nothing", 0],
      ["empty", 1],
      ["dir", 5],
      ["absent", 0],
    ]);
    expect(warnings.map((line) => line.split(" ")[0])).toEqual(['"nothing"', '"absent"']);
  });

  it("loses nothing when it is asked twice at once, or taken while it is asked", async () => {
    const selection = openSelection({ root, paths: ["."] });
    expect(await Promise.all([selection.hasEntries(), selection.hasEntries()])).toEqual([true, true]);
    expect(await taken(selection)).toEqual([".", ...ALL]);
    const asked = openSelection({ root, paths: ["."] });
    const [hasEntries, found] = await Promise.all([asked.hasEntries(), taken(asked)]);
    expect(hasEntries).toBe(true);
    expect(found).toEqual([".", ...ALL]);
  });

  it("refuses to be taken twice: there would be nothing, and an archive of nothing", async () => {
    const selection = openSelection({ root, paths: ["."] });
    expect(await taken(selection)).toEqual([".", ...ALL]);
    await expect(taken(selection)).rejects.toMatchObject({ code: "invalid-option" });
    await expect(selection.hasEntries()).rejects.toMatchObject({ code: "invalid-option" });
  });

  it("says why it found nothing, and stops with the signal's reason", async () => {
    const empty = openSelection({ root, paths: ["empty/*"] });
    expect(await empty.hasEntries()).toBe(false);
    expect(empty.warnings.at(-1)).toContain("No files were found");
    const stop = new Error("stop");
    const stopped = openSelection({ root, paths: ["."], signal: AbortSignal.abort(stop) });
    await expect(stopped.hasEntries()).rejects.toBe(stop);
  });
});

async function taken(selection: OpenSelection): Promise<string[]> {
  const paths: string[] = [];
  for await (const batch of selection) paths.push(...batch.map((entry) => entry.path));
  return paths;
}
