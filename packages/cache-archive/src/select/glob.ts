import { compileGlob, matchesText } from "./glob-segment.ts";
import type { GlobToken } from "./glob-segment.ts";

/**
 * A pattern over slash paths, with the rules of doublestar v4: `*` and `?` stay within a segment, `**` as a whole segment
 * takes any number of segments, `[abc]`, `[!a]`, `{a,b}` nest, `\` escapes; names that begin with a dot are nothing
 * special.
 *
 * A match goes segment by segment, so that a walk can ask after each folder whether anything below may still match.
 *
 * @see https://pkg.go.dev/github.com/bmatcuk/doublestar/v4 (cache document 3.7)
 */
export class Glob {
  readonly #alternatives: readonly (readonly Segment[])[];

  /** @returns undefined when the pattern is malformed */
  static compile(pattern: string): Glob | undefined {
    const alternatives = expandBraces(pattern)?.map((alternative) => compileSegments(alternative));
    if (alternatives === undefined) return undefined;
    const valid = alternatives.filter((alternative) => alternative !== undefined);
    return valid.length === alternatives.length ? new Glob(valid) : undefined;
  }

  private constructor(alternatives: readonly (readonly Segment[])[]) {
    this.#alternatives = alternatives;
  }

  /** Before the first segment. */
  start(): GlobState {
    return this.#state(this.#alternatives.map(() => [0]));
  }

  /** After one segment more. */
  advance(state: GlobState, name: string): GlobState {
    return this.#state(
      this.#alternatives.map((segments, alternative) =>
        (state.positions[alternative] ?? []).flatMap((position) => {
          const segment = segments[position];
          if (segment === undefined) return [];
          if (segment === "**") return [position];
          return matchesText(segment, name) ? [position + 1] : [];
        }),
      ),
    );
  }

  /** Whether the whole path matches. */
  matches(path: string): boolean {
    let state = this.start();
    for (const name of path.split("/")) {
      if (!state.canContinue) return false;
      state = this.advance(state, name);
    }
    return state.isMatch;
  }

  #state(positions: readonly (readonly number[])[]): GlobState {
    // A `**` may also take nothing.
    const reached = positions.map((list, alternative) => skipDoubleStars(list, this.#alternatives[alternative] ?? []));
    const isEnd = (position: number, alternative: number): boolean =>
      position === this.#alternatives[alternative]?.length;
    return {
      positions: reached,
      isMatch: reached.some((list, alternative) => list.some((position) => isEnd(position, alternative))),
      canContinue: reached.some((list, alternative) => list.some((position) => !isEnd(position, alternative))),
    };
  }
}

/** How far a match has come. */
export interface GlobState {
  /** For each alternative, the segments of the pattern that may come next. */
  readonly positions: readonly (readonly number[])[];
  /** Whether the path so far matches. */
  readonly isMatch: boolean;
  /** Whether a longer path may match. */
  readonly canContinue: boolean;
}

/** Where the pattern begins: index of the first meta character that is not escaped, or -1. */
export function firstMeta(text: string): number {
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? "";
    if (character === "\\") at += 1;
    else if ("*?[{".includes(character)) return at;
  }
  return -1;
}

type Segment = "**" | readonly GlobToken[];

/** More alternatives than anybody writes; nested braces multiply. */
const MAX_ALTERNATIVES = 4096;

function compileSegments(pattern: string): Segment[] | undefined {
  const segments: Segment[] = [];
  for (const text of pattern.split("/")) {
    const segment = text === "**" ? text : compileGlob(text);
    if (segment === undefined) return undefined;
    segments.push(segment);
  }
  return segments;
}

function skipDoubleStars(positions: readonly number[], segments: readonly Segment[]): number[] {
  const reached = new Set<number>();
  for (const position of positions) {
    for (let at = position; !reached.has(at); at += 1) {
      reached.add(at);
      if (segments[at] !== "**") break;
    }
  }
  return [...reached];
}

/** @returns undefined when braces are not balanced, or for too many alternatives */
function expandBraces(pattern: string): string[] | undefined {
  const open = findBrace(pattern, 0);
  if (open === undefined) return undefined;
  if (open === -1) return [pattern];
  const parts = splitAlternatives(pattern, open);
  if (parts === undefined) return undefined;
  const results: string[] = [];
  for (const choice of parts.choices) {
    const expanded = expandBraces(pattern.slice(0, open) + choice + pattern.slice(parts.close + 1));
    if (expanded === undefined || results.length + expanded.length > MAX_ALTERNATIVES) return undefined;
    results.push(...expanded);
  }
  return results;
}

/** Index of the first `{`, -1 without one; undefined when a `}` comes first. */
function findBrace(pattern: string, from: number): number | undefined {
  for (let at = from; at < pattern.length; at += 1) {
    const character = pattern[at];
    if (character === "\\") at += 1;
    else if (character === "[") at = classEnd(pattern, at);
    else if (character === "{") return at;
    else if (character === "}") return undefined;
  }
  return -1;
}

function splitAlternatives(pattern: string, open: number): { choices: string[]; close: number } | undefined {
  const choices: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let at = open + 1; at < pattern.length; at += 1) {
    const character = pattern[at];
    if (character === "\\") at += 1;
    else if (character === "[") at = classEnd(pattern, at);
    else if (character === "{") depth += 1;
    else if (depth > 0) depth -= character === "}" ? 1 : 0;
    else if (character === "," || character === "}") {
      choices.push(pattern.slice(start, at));
      start = at + 1;
      if (character === "}") return { choices, close: at };
    }
  }
  return undefined;
}

/** Index of the `]` that ends the class; the last index when none does, which compiling then finds. */
function classEnd(pattern: string, open: number): number {
  let at = open + 1;
  if (pattern[at] === "!" || pattern[at] === "^") at += 1;
  for (; at < pattern.length; at += 1) {
    if (pattern[at] === "\\") at += 1;
    else if (pattern[at] === "]") return at;
  }
  return pattern.length - 1;
}
