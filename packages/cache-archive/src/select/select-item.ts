import path from "node:path";
import { CacheArchiveError } from "../errors.ts";
import { firstMeta, Glob } from "./glob.ts";
import { expandShellWord } from "./shell-word.ts";

/** An item of `paths`, ready to be looked for. */
export interface PathItem {
  /** After expansion, for reports. */
  readonly item: string;
  /** Where to begin, relative to the root; `.` is the root. Links in it are followed. */
  readonly base: string;
  /** What to look for below `base`; undefined when `base` itself is meant. */
  readonly glob: Glob | undefined;
}

/** An item of `exclude`, ready to be asked about each path. */
export interface ExcludeItem {
  readonly item: string;
  readonly glob: Glob;
}

/** Either the item or the reason why it is ignored, and what the job's log should say in any case. */
export interface Resolved<T> {
  readonly value: T | undefined;
  readonly warnings: readonly string[];
}

/** Expands one item of `paths` and makes it relative to the root. */
export function resolvePathItem(
  text: string,
  root: string,
  environment: Readonly<Record<string, string>>,
): Resolved<PathItem> {
  return resolve(text, root, environment, (item, pattern) => {
    const meta = firstMeta(pattern);
    if (meta === -1) return { item, base: pattern, glob: undefined };
    const { left, right } = splitAtMeta(pattern, meta);
    const glob = Glob.compile(right);
    return glob === undefined ? undefined : { item, base: unescape(left) || ".", glob };
  });
}

/** Expands one item of `exclude` and makes it relative to the root. */
export function resolveExcludeItem(
  text: string,
  root: string,
  environment: Readonly<Record<string, string>>,
): Resolved<ExcludeItem> {
  return resolve(text, root, environment, (item, pattern) => {
    const glob = Glob.compile(pattern);
    return glob === undefined ? undefined : { item, glob };
  });
}

function resolve<T>(
  text: string,
  root: string,
  environment: Readonly<Record<string, string>>,
  build: (item: string, pattern: string) => T | undefined,
): Resolved<T> {
  const warnings: string[] = [];
  const item = expand(text, environment, warnings);
  const ignore = (why: string): Resolved<T> => ({ value: undefined, warnings: [...warnings, why] });
  if (item === "")
    return ignore(text === "" ? "An empty path is ignored." : `"${text}" expands to an empty path; it is ignored.`);
  const pattern = toRelative(item, root);
  if (pattern === undefined) return ignore(`"${item}" is outside the project directory ${root}; it is ignored.`);
  const value = build(item, pattern);
  return value === undefined ? ignore(`"${item}" is not a valid pattern; it is ignored.`) : { value, warnings };
}

function expand(text: string, environment: Readonly<Record<string, string>>, warnings: string[]): string {
  try {
    return expandShellWord(text, environment);
  } catch (error) {
    if (!CacheArchiveError.isInstance(error)) throw error;
    warnings.push(`"${text}" is taken as it is: ${error.message}`);
    return text;
  }
}

/** A clean path or pattern relative to the root; undefined when it lies outside. */
function toRelative(item: string, root: string): string | undefined {
  const meta = firstMeta(item);
  // The part before the pattern may be absolute or lead out and in again.
  const { left, right } = meta === -1 ? { left: item, right: "" } : splitAtMeta(item, meta);
  const place = path.posix.relative(root, path.posix.resolve(root, left));
  const joined = path.posix.join(place, right).replace(/(?<=.)\/+$/, "");
  return joined === ".." || joined.startsWith("../") || joined.startsWith("/") ? undefined : joined;
}

function splitAtMeta(text: string, meta: number): { left: string; right: string } {
  const slash = text.lastIndexOf("/", meta);
  if (slash === -1) return { left: "", right: text };
  return { left: text.slice(0, slash) || "/", right: text.slice(slash + 1) };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/gs, "$1");
}
