import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it } from "vitest";

import { removeLiteralPaths } from "./clean-up-failed.ts";

it("removes the paths of an entry as they are written, and nothing outside the project", async () => {
  const top = await mkdtemp(join(tmpdir(), "clean-up-"));
  const project = join(top, "project");
  await mkdir(join(project, "vendor/dir"), { recursive: true });
  await mkdir(join(project, "nested/kept"), { recursive: true });
  await mkdir(join(project, "nested/gone"), { recursive: true });
  await mkdir(join(top, "outside/dir"), { recursive: true });
  await mkdir(join(project, "..dots"));
  await writeFile(join(project, "a.txt"), "");
  await symlink("../outside", join(project, "link"));
  const paths = [
    "vendor",
    "nested/gone/",
    "*.txt",
    "..dots",
    ".",
    "",
    "..",
    "../outside",
    join(top, "outside"),
    "link/dir",
    "absent/x",
  ];
  await removeLiteralPaths(project, { key: "k", paths });
  expect((await readdir(project)).sort()).toEqual(["a.txt", "link", "nested"]);
  expect(await readdir(join(project, "nested"))).toEqual(["kept"]);
  expect(await readdir(join(top, "outside"))).toEqual(["dir"]);
  await removeLiteralPaths(project, { key: "k", paths: [join(project, "nested"), "link"] });
  expect((await readdir(project)).sort()).toEqual(["a.txt"]);
  expect(await readdir(join(top, "outside"))).toEqual(["dir"]);
  await rm(top, { recursive: true });
});
