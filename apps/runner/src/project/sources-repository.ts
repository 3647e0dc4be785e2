import { mkdir, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { forgetRefs } from "./forget-refs.ts";
import type { Project } from "./project.ts";
import { DEFAULT_STATE_DIRECTORY, isOutside } from "./state-directory.ts";

/**
 * The files that make a folder a repository that borrows the objects of another one; `git init` would cost a process on every run.
 *
 * What a killed run left behind is removed: nobody else uses the repository meanwhile.
 *
 * @param ref - what `HEAD` points to; it need not be there yet
 */
export async function prepareRepository(
  repository: string,
  ref: string,
  project: Project,
  stateDirectory: string,
): Promise<void> {
  await removeRemains(repository);
  const head = `ref: ${ref}\n`;
  if ((await readIfThere(join(repository, "HEAD"))) !== head) await forgetRefs(join(stateDirectory, "builds"));
  await Promise.all(
    ["objects/info", "refs/heads", "info"].map((folder) => mkdir(join(repository, folder), { recursive: true })),
  );
  await Promise.all([
    writeFile(join(repository, "HEAD"), head),
    writeFile(join(repository, "config"), configOf(project)),
    writeFile(join(repository, "info/exclude"), await excludedPatterns(project, stateDirectory)),
    project.objectsDirectory === undefined
      ? rm(join(repository, "objects/info/alternates"), { force: true })
      : writeFile(join(repository, "objects/info/alternates"), `${project.objectsDirectory}\n`),
    copyOrRemove(project.sparseFile, join(repository, "info/sparse-checkout")),
    copyOrRemove(project.shallowFile, join(repository, "shallow")),
  ]);
}

/** A ref of an earlier run may have the name of a folder that the next one needs: `feat` and `feat/x`. */
async function removeRemains(repository: string): Promise<void> {
  await mkdir(repository, { recursive: true });
  const locks = (await readdir(repository)).filter((name) => name.endsWith(".lock"));
  await Promise.all(
    ["refs", "logs", "packed-refs", ...locks].map((name) =>
      rm(join(repository, name), { recursive: true, force: true }),
    ),
  );
}

function configOf({ objectFormat }: Project): string {
  const isOld = objectFormat === "sha1";
  return [
    "[core]",
    `\trepositoryformatversion = ${isOld ? 0 : 1}`,
    "\tbare = false",
    "\tautocrlf = false",
    "\tlogallrefupdates = false",
    ...(isOld ? [] : ["[extensions]", `\tobjectformat = ${objectFormat}`]),
    "[gc]",
    "\tauto = 0",
    "",
  ].join("\n");
}

/** The user's own patterns for the repository, and the folders for the state: this run's, and the one that others use. */
async function excludedPatterns(project: Project, stateDirectory: string): Promise<string> {
  const own = project.excludeFile === undefined ? undefined : await readIfThere(project.excludeFile);
  const top = await realpath(project.top ?? project.directory);
  const place = relative(top, await realpath(stateDirectory));
  // The last pattern that matches decides, so ours come last.
  return [
    own ?? "",
    `/${escapePattern(project.prefix)}${DEFAULT_STATE_DIRECTORY}/`,
    ...(isOutside(place) ? [] : [`/${escapePattern(place)}/`]),
    "",
  ].join("\n");
}

/** @see https://git-scm.com/docs/gitignore#_pattern_format */
function escapePattern(path: string): string {
  return path
    .split(sep)
    .join("/")
    .replaceAll(/[\\*?[\]]/g, String.raw`\$&`);
}

async function copyOrRemove(from: string | undefined, to: string): Promise<void> {
  const text = from === undefined ? undefined : await readIfThere(from);
  await (text === undefined ? rm(to, { force: true }) : writeFile(to, text));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
