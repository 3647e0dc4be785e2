import type { RE2JS, RE2JSException } from "re2js";

interface Engine {
  readonly RE2JS: typeof RE2JS;
  readonly RE2JSException: typeof RE2JSException;
}

/** Tells whether a text contains a match. */
export interface Pattern {
  test(text: string): boolean;
}

/**
 * Compiles `/pattern/flags` with RE2 semantics. The engine is only loaded when some file needs it, since most
 * configurations do without regular expressions.
 *
 * @see https://github.com/google/re2/wiki/Syntax
 */
export class RegexEngine {
  #engine: Engine | undefined;
  readonly #compiled = new Map<string, Pattern | undefined>();

  /** To be awaited before {@link compile}. */
  async load(): Promise<void> {
    this.#engine ??= await import("re2js");
  }

  /** @returns undefined when the text is not of the form `/pattern/flags` or the pattern is invalid */
  compile(literal: string): Pattern | undefined {
    if (this.#compiled.has(literal)) return this.#compiled.get(literal);
    const pattern = this.#compile(literal);
    this.#compiled.set(literal, pattern);
    return pattern;
  }

  #compile(literal: string): Pattern | undefined {
    const parts = /^\/(.*)\/([imsU]*)$/s.exec(literal);
    if (parts === null) return undefined;
    if (this.#engine === undefined) throw new TypeError("RegexEngine.compile was called before load");
    const [, body = "", flags = ""] = parts;
    try {
      const regex = this.#engine.RE2JS.compile(flags === "" ? body : `(?${flags})${body}`);
      return { test: (text) => regex.matcher(text).find() };
    } catch (error) {
      if (error instanceof this.#engine.RE2JSException) return undefined;
      throw error;
    }
  }
}

/** Cheap pre-check of a value: a condition with a pattern operator, or a pattern as `only` and `except` have it. */
export function mayUseRegex(text: string): boolean {
  return /[=!]~|^\/.*\/[imsU]*(?:@|$)/s.test(text);
}
