/**
 * Matches paths against a glob of `rules:changes`, `rules:exists` or `only:changes`.
 *
 * Ruby's `File.fnmatch` with the flags pathname, dotmatch and extglob decides, which general glob libraries do not follow: `**`
 * crosses directories only as a whole segment before a slash, so `docs/**` does not match `docs/a/b`.
 *
 * @see https://docs.ruby-lang.org/en/3.3/File.html#method-c-fnmatch
 */
export function compileGlob(glob: string): (path: string) => boolean {
  const alternatives = expandBraces(glob).map((pattern) => new RegExp(`^${translate(pattern)}$`, "su"));
  return (path) => alternatives.some((pattern) => pattern.test(path));
}

/**
 * Matches paths against an `include:local` wildcard, where `*` stays in a directory and `**` crosses them anywhere.
 *
 * @see https://docs.gitlab.com/ci/yaml/includes/#use-includelocal-with-wildcard-file-paths
 */
export function compileIncludeGlob(glob: string): (path: string) => boolean {
  const source = glob
    .split("**")
    .map((part) => part.split("*").map(escapeLiteral).join("[^/]*"))
    .join(".*");
  const pattern = new RegExp(`^${source}$`, "su");
  return (path) => pattern.test(path);
}

const MAX_ALTERNATIVES = 1000;

/** `{a,b}` nests; an unclosed brace is an ordinary character. */
function expandBraces(glob: string): string[] {
  const open = glob.search(/(?<!\\)\{/);
  if (open === -1) return [glob];
  let depth = 0;
  const cuts = [open];
  for (let index = open; index < glob.length; index++) {
    const character = glob[index];
    if (character === "\\") index++;
    else if (character === "{") depth++;
    else if (character === "," && depth === 1) cuts.push(index);
    else if (character === "}" && --depth === 0) {
      cuts.push(index);
      const head = glob.slice(0, open);
      const tail = glob.slice(index + 1);
      const choices = cuts.slice(1).map((end, position) => glob.slice((cuts[position] ?? 0) + 1, end));
      return choices.flatMap((choice) => expandBraces(head + choice + tail)).slice(0, MAX_ALTERNATIVES);
    }
  }
  return [glob];
}

function translate(glob: string): string {
  let result = "";
  for (let index = 0; index < glob.length; index++) {
    const character = glob[index] ?? "";
    const startsSegment = index === 0 || glob[index - 1] === "/";
    if (startsSegment && glob.startsWith("**/", index)) {
      result += "(?:[^/]+/)*";
      index += 2;
    } else if (character === "*") result += "[^/]*";
    else if (character === "?") result += "[^/]";
    else if (character === "[") {
      const set = characterSet(glob, index);
      result += set.source;
      index = set.end;
    } else if (character === "\\" && index + 1 < glob.length) result += escapeLiteral(glob[++index] ?? "");
    else result += escapeLiteral(character);
  }
  return result;
}

function characterSet(glob: string, start: number): { source: string; end: number } {
  const end = glob.indexOf("]", start + 2);
  if (end === -1) return { source: "\\[", end: start };
  const body = glob.slice(start + 1, end);
  const negated = body.startsWith("!") || body.startsWith("^");
  const members = (negated ? body.slice(1) : body).replace(/[\\\][^&|~]/g, String.raw`\$&`);
  const source = `(?!/)[${negated ? "^" : ""}${members}]`;
  return { source: isValid(source) ? source : "(?!)", end };
}

/** A range such as `z-a` matches nothing. */
function isValid(source: string): boolean {
  try {
    return new RegExp(source, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

function escapeLiteral(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}
