/**
 * Cleans a slash path by its text alone: collapses slashes and resolves `.` and `..`; a path that starts at the root never
 * leaves it. No slash stays at the end, and the empty path becomes `.`.
 *
 * @see https://pkg.go.dev/path#Clean
 */
export function cleanPath(path: string): string {
  const rooted = path.startsWith("/");
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") kept.push(segment);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!rooted) kept.push("..");
  }
  if (rooted) return `/${kept.join("/")}`;
  return kept.length === 0 ? "." : kept.join("/");
}

/** Joins the parts that are not empty and cleans the result; empty when all parts are. */
export function joinPath(...parts: readonly string[]): string {
  const present = parts.filter((part) => part !== "");
  return present.length === 0 ? "" : cleanPath(present.join("/"));
}
