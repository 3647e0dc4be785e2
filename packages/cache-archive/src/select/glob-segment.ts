/*
 * Patterns for one path segment, or for a text where a slash is nothing special: `*`, `?`, `[abc]`, `[!a]`, `[^a]`, `\x`.
 */

/** One step of a compiled pattern. */
export type GlobToken =
  | { readonly kind: "literal"; readonly character: string }
  | { readonly kind: "one" }
  | { readonly kind: "many" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] };

/** @returns undefined when the pattern is malformed: an open or empty class, a range without end, a last backslash */
export function compileGlob(pattern: string): readonly GlobToken[] | undefined {
  const characters = Array.from(pattern);
  const tokens: GlobToken[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at] ?? "";
    if (character === "*") {
      if (tokens.at(-1)?.kind !== "many") tokens.push({ kind: "many" });
    } else if (character === "?") {
      tokens.push({ kind: "one" });
    } else if (character === "\\") {
      at += 1;
      const escaped = characters[at];
      if (escaped === undefined) return undefined;
      tokens.push({ kind: "literal", character: escaped });
    } else if (character === "[") {
      const parsed = parseClass(characters, at + 1);
      if (parsed === undefined) return undefined;
      tokens.push(parsed.token);
      at = parsed.last;
    } else {
      tokens.push({ kind: "literal", character });
    }
  }
  return tokens;
}

/** Whether the whole text matches. Time grows with the product of both lengths at most. */
export function matchesText(tokens: readonly GlobToken[], text: string): boolean {
  const characters = Array.from(text);
  let token = 0;
  let at = 0;
  // Where to go on when a later step fails: the last star takes one character more.
  let star = -1;
  let starAt = 0;
  while (at < characters.length) {
    const step = tokens[token];
    if (step?.kind === "many") {
      star = token;
      starAt = at;
      token += 1;
    } else if (step !== undefined && matchesCharacter(step, characters[at] ?? "")) {
      token += 1;
      at += 1;
    } else if (star === -1) {
      return false;
    } else {
      starAt += 1;
      at = starAt;
      token = star + 1;
    }
  }
  return tokens.slice(token).every((step) => step.kind === "many");
}

function matchesCharacter(token: GlobToken, character: string): boolean {
  switch (token.kind) {
    case "literal":
      return token.character === character;
    case "class": {
      const code = character.codePointAt(0) ?? 0;
      return token.ranges.some(([low, high]) => low <= code && code <= high) !== token.negated;
    }
    default:
      return true;
  }
}

function parseClass(
  characters: readonly string[],
  start: number,
): { readonly token: GlobToken; readonly last: number } | undefined {
  let at = start;
  const negated = characters[at] === "!" || characters[at] === "^";
  if (negated) at += 1;
  const ranges: [number, number][] = [];
  const next = (): number | undefined => {
    if (characters[at] === "\\") at += 1;
    const code = characters[at]?.codePointAt(0);
    at += 1;
    return code;
  };
  while (at < characters.length) {
    if (characters[at] === "]") {
      if (ranges.length === 0) return undefined;
      return { token: { kind: "class", negated, ranges }, last: at };
    }
    const low = next();
    if (low === undefined) return undefined;
    if (characters[at] !== "-") {
      ranges.push([low, low]);
      continue;
    }
    at += 1;
    if (characters[at] === "]") return undefined;
    const high = next();
    if (high === undefined) return undefined;
    ranges.push([low, high]);
  }
  return undefined;
}
