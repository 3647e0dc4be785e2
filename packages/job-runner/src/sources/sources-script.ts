import { noticeLine } from "@fleetfoot/job-trace";

import { quote } from "../script/quote.ts";
import { BORROWED_WARNING } from "./planted-repository.ts";
import { ATTRIBUTES_NOTICE } from "./working-copy.ts";
import type { SourceSettings } from "./source-settings.ts";
import type { SubmoduleSettings } from "./submodules.ts";

/** Everything that decides how a working copy comes to its commit. */
export interface SourcesScriptFacts {
  /** Absolute, as scripts see it; the same for all paths. */
  readonly project: string;
  readonly temporary: string;
  /** Whether nothing of an earlier job is used. */
  readonly removesFirst: boolean;
  /** Whether settings and hooks of an earlier job are removed. */
  readonly cleansConfig: boolean;
  readonly sideConfigPath: string;
  readonly sideConfig: string;
  readonly templateConfig: string;
  readonly remote: string;
  readonly objectFormat: string | undefined;
  readonly userAgent: string;
  readonly refspecs: readonly string[];
  /** 0: all commits. */
  readonly depth: number;
  readonly fetchFlags: readonly string[];
  readonly ref: string;
  readonly sha: string;
  readonly settings: SourceSettings;
}

/** A script for any POSIX shell with git and the usual commands. @see job-execution 1.8 */
export function sourcesScript(facts: SourcesScriptFacts): string {
  const { project, temporary, sideConfigPath, settings, objectFormat, depth } = facts;
  const template = `${temporary}/git-template`;
  const format = objectFormat === undefined || objectFormat === "" || objectFormat === "sha1" ? [] : [objectFormat];
  return whole([
    'command -v git >/dev/null 2>&1 || { echo "there is no git in the helper image" >&2; exit 127; }',
    "export GIT_TERMINAL_PROMPT=0 GCM_INTERACTIVE=Never GIT_LFS_SKIP_SMUDGE=1 GIT_NO_REPLACE_OBJECTS=1 GIT_INDEX_VERSION=2",
    'export HOME="${HOME:-/root}"; mkdir -p "$HOME"',
    // Files of the job before may be anybody's; git asks who they belong to.
    `git config --global --replace-all safe.directory ${quote("*")}`,
    ...(facts.removesFirst ? [`rm -rf ${quote(project)}`] : []),
    `mkdir -p ${quote(project)} ${quote(template)}`,
    `cd ${quote(project)}`,
    // Only a directory is a repository of its own.
    "if [ -L .git ] || [ ! -d .git ]; then rm -rf .git; fi",
    ...removePlanted(facts),
    ...clearRepository(facts.cleansConfig),
    "export fresh=; if [ ! -e .git/HEAD ]; then fresh=1; fi; used=$(ls -A)",
    `(umask 077; printf %s ${quote(facts.sideConfig)} >${quote(sideConfigPath)})`,
    `printf %s ${quote(facts.templateConfig)} >${quote(`${template}/config`)}`,
    git("init", "--quiet", "--template", template, ...format.flatMap((name) => ["--object-format", name])),
    git("config", "--replace-all", "remote.origin.url", facts.remote),
    git("config", "--replace-all", "include.path", sideConfigPath),
    say(depth > 0 ? `Fetching changes with git depth set to ${depth}...` : "Fetching changes..."),
    `if [ -n "$fresh" ]; then ${say("Created fresh repository.")}; fi`,
    ...(depth > 0 ? [] : ["unshallow=; if [ -e .git/shallow ]; then unshallow=--unshallow; fi"]),
    [
      git("-c", `http.userAgent=${facts.userAgent}`, "fetch", "origin", "--no-recurse-submodules", ...facts.refspecs),
      ...(depth > 0 ? ["--depth", String(depth)] : ["$unshallow"]),
      ...facts.fetchFlags.map(quote),
    ].join(" "),
    ...checkOut(facts),
    ...(settings.userSkipsSmudge || !settings.checkout
      ? []
      : [`if git lfs version >/dev/null 2>&1; then ${git("lfs", "pull")}; fi`]),
    ...submodules(settings.submodules, sideConfigPath, !settings.userSkipsSmudge),
  ]);
}

/** Removes all but the repository itself. */
export function clearScript(project: string): string {
  return whole([`find ${quote(project)} -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +`]);
}

export function removeScript(project: string): string {
  return whole([`rm -rf ${quote(project)}`]);
}

export interface CleanScriptFacts extends Pick<SourcesScriptFacts, "cleansConfig" | "project" | "temporary"> {
  readonly cleanup: "keep" | "remove" | "reset";
}

/** Removes locks, settings and secrets. */
export function cleanScript({ project, temporary, cleansConfig, cleanup }: CleanScriptFacts): string {
  return whole([
    `rm -rf ${quote(temporary)}${cleanup === "remove" ? ` ${quote(project)}` : ""}`,
    `if [ -d ${quote(`${project}/.git`)} ]; then cd ${quote(project)}`,
    ...(cleanup === "reset" ? [git("clean", "-ffdx"), git("reset", "--hard", "--quiet")] : []),
    ...clearRepository(cleansConfig),
    "fi",
  ]);
}

/** The whole text is read before anything of it runs: git must not read on in it. What is made is everybody's. */
function whole(lines: readonly string[]): string {
  return `set -o errexit\n(eval ${quote(["set -o errexit", "umask 0000", ...lines].join("\n"))}) </dev/null\nexit 0\n`;
}

/** Without a setting by which a working copy could make git run a program. */
function git(...args: readonly string[]): string {
  return ["git", "-c", "core.fsmonitor=false", "-c", "core.splitIndex=false", ...args.map(quote)].join(" ");
}

function say(text: string): string {
  return `printf %s ${quote(noticeLine(text))}`;
}

const LOCKS = ["index.lock", "shallow.lock", "HEAD.lock", "config.lock", "packed-refs.lock"].map(
  (name) => `-name ${name}`,
);

const HOOKS = "post-checkout post-index-change pre-auto-gc reference-transaction";

/** The same as on the runner's own host, where each is explained. */
const SETTINGS = "branches config config.worktree hooks info refs/replace remotes";

const MONITOR = "-type s -name fsmonitor--daemon.ipc";

/** A repository that git would leave for another place: nothing of it is used. */
function removePlanted({ cleansConfig, settings }: SourcesScriptFacts): string[] {
  const borrowed = ["alternates", "http-alternates"].map((name) => `-o -path '*/objects/info/${name}'`);
  const modules = "-o -path '.git/modules/*/commondir' ! -path '*/worktrees/*' ! -path '*/refs/*' ! -path '*/logs/*'";
  const found = [`! -type f ! -type d ! \\( ${MONITOR} \\)`, "-o -path .git/commondir", modules].join(" ");
  const borrows = borrowed.join(" ").replace(/^-o /, "");
  const replaced = cleansConfig ? " || grep -qs ' refs/replace/' .git/packed-refs" : "";
  return [
    `if [ -d .git ]; then if [ -n "$(find .git \\( ${found} \\) -print)" ]${replaced}; then`,
    'echo "A job has put something else in the place of the repository, or of a part of it. It will be made anew." >&2; rm -rf .git; fi; fi',
    ...(cleansConfig && !settings.submodules.borrows
      ? [
          `if [ -d .git ] && [ -n "$(find .git \\( ${borrows} \\) -print)" ]; then`,
          `printf '%s\\n' ${quote(BORROWED_WARNING)} >&2; rm -rf .git; fi`,
        ]
      : []),
  ];
}

/** What a killed git has left, and with what an earlier job could make git run its code, submodules included. */
function clearRepository(cleansConfig: boolean): string[] {
  const locks = [...LOCKS, "-path '*/refs/*.lock'"].join(" -o ");
  const each = [
    'for folder do folder=${folder%/HEAD}; if [ ! -d "$folder/objects" ]; then continue; fi',
    `for name in ${HOOKS}; do rm -rf "$folder/hooks/$name"; done`,
    ...(cleansConfig
      ? [
          `for name in ${SETTINGS}; do rm -rf "$folder/$name"; done`,
          // An index of another version than the second can hide files from git, and so can one in parts.
          'set -- "$folder"/sharedindex.*',
          `plain() { [ "$(od -An -tu1 -j7 -N1 "$folder/index" 2>/dev/null | tr -d " ")" = 2 ]; }`,
          'if [ -e "$1" ] || ! plain; then',
          `if ! (cd "$folder" && ${git("update-index", "--no-split-index", "--index-version", "2")}) 2>/dev/null || ! plain; then rm -f "$folder/index"; fi; rm -f "$@"; fi`,
        ]
      : []),
    "done",
  ].join("\n");
  return [
    `if [ -d .git ]; then find .git \\( ${locks} \\) -exec rm -rf {} +`,
    `find .git -name HEAD -type f -exec sh -c ${quote(each)} sh {} +; fi`,
  ];
}

function checkOut({ settings, ref, sha }: SourcesScriptFacts): string[] {
  if (!settings.checkout) return [say("Skipping Git checkout")];
  const checkout = git("-c", "submodule.recurse=false", "checkout", "-f", "-q", sha);
  return [
    say(`Checking out ${sha.slice(0, 8)} as detached HEAD (ref is ${ref})...`),
    `if ! ${checkout}; then [ -n "$used" ] && ${git("cat-file", "-e", `${sha}^{commit}`)} || exit 1`,
    'echo "The commit cannot be checked out over the files of the job before, so these are removed." >&2',
    `find . -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +; rm -f .git/index; ${checkout}; fi`,
    ...(settings.skipClean
      ? []
      : [
          `cleaned=$(${git("clean", ...settings.cleanFlags)}); if [ -n "$cleaned" ]; then printf '%s\\n' "$cleaned"; fi`,
          // Removed beside files of the commit: git names a folder without any as a whole. In some languages more words follow.
          `if printf '%s\\n' "$cleaned" | grep -Eq '\\.gitattributes([^[:alnum:]_./-]|$)'; then ${say(ATTRIBUTES_NOTICE)}; rm -f .git/index; ${checkout}; fi`,
        ]),
  ];
}

/** The same order as on the runner's own host. */
function submodules(settings: SubmoduleSettings, sideConfigPath: string, lfs: boolean): string[] {
  const { strategy, depth, updateFlags, cleanFlags, skipClean } = settings;
  const check = removePlantedSubmodules(strategy !== "none");
  if (strategy === "none") return [...check, say("Skipping Git submodules setup")];
  const isRecursive = strategy === "recursive";
  const how = `${isRecursive ? " recursively" : ""}${depth > 0 ? ` with git depth set to ${depth}` : ""}`;
  const recursive = isRecursive ? ["--recursive"] : [];
  const paths = settings.paths.length > 0 ? ["--", ...settings.paths] : [];
  const submodule = (...args: readonly string[]): string =>
    git("-c", `include.path=${sideConfigPath}`, "submodule", ...args);
  const limit = depth > 0 ? ["--depth", String(depth)] : [];
  const update = submodule("update", "--init", ...recursive, ...limit, ...updateFlags, ...paths);
  const tidy = skipClean ? ":" : `git clean ${cleanFlags.map(quote).join(" ")}`;
  const clean = submodule("foreach", ...recursive, `${tidy} && git reset --hard`);
  const include = `[include]\n\tpath = "${sideConfigPath.replaceAll(/["\\]/g, "\\$&")}"\n`;
  const sync = submodule("sync", ...recursive, ...paths);
  return [
    ...check,
    say(`Updating/initializing submodules${how}...`),
    "if [ -e .gitmodules ]; then reused=; if [ -d .git/modules ]; then reused=1; fi",
    submodule("init", ...paths),
    sync,
    `if [ -n "$reused" ]; then ${clean}; fi`,
    `if ! ${update}; then echo "Updating submodules failed. Retrying..." >&2`,
    ...(updateFlags.includes("--remote")
      ? [submodule("foreach", ...recursive, "git fetch origin '+refs/heads/*:refs/remotes/origin/*'")]
      : []),
    `${sync}; ${update}; ${clean}; fi`,
    `if [ -n "$reused" ]; then ${clean}; fi`,
    // So that git works in them for as long as the job lasts.
    `find .git/modules ! -path '*/refs/*' ! -path '*/logs/*' -name config -type f -exec sh -c ${quote(INCLUDE)} ${quote(sideConfigPath)} ${quote(include)} {} +`,
    ...(lfs
      ? [`if git lfs version >/dev/null 2>&1; then ${submodule("foreach", ...recursive, "git lfs pull")}; fi`]
      : []),
    "fi",
  ];
}

/** The files of submodules whose `.git` is anything but the name of their repository in that of the project. */
function removePlantedSubmodules(deep: boolean): string[] {
  return [
    'if [ -n "$used" ] && [ -f .gitmodules ]; then',
    `modules=$(pwd -P)/.git/modules; git config -f .gitmodules --get-regexp '^submodule\\..*\\.path$' | while read -r _ path; do`,
    `if [ ! -d "$path" ]; then continue; fi; find "./$path" ${deep ? "" : "-mindepth 1 -maxdepth 1 "}-name .git -prune -exec sh -c ${quote(OWN_MODULE)} "$modules" {} + || :; done; fi`,
  ];
}

const OWN_MODULE = [
  "for git do folder=${git%/.git}; found=",
  'if [ -f "$git" ] && [ ! -L "$git" ]; then IFS= read -r named <"$git" || :; found=$(cd "$folder" && cd "${named#gitdir: }" 2>/dev/null && pwd -P) || found=; fi',
  'case $found in "$0"/*) if [ -d "$found/objects" ] && [ -d "$found/refs" ] && [ ! -e "$found/commondir" ]; then continue; fi ;; esac',
  // The repositories of submodules have gone with one that was made anew; no job has done that.
  '[ -n "$fresh" ] || echo "A job has put another repository in the place of a submodule. It will be made anew." >&2; rm -rf "$folder"; done',
].join("\n");

const INCLUDE = 'text=$1; shift; for config do grep -qF "$0" "$config" || printf %s "$text" >>"$config"; done';
