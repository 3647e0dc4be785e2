import { CacheArchiveError } from "../errors.ts";
import { evaluateArithmetic } from "./shell-arithmetic.ts";
import { applyParameterOperator, isParameterName } from "./shell-parameter.ts";

/** Variables that a word may use; unset ones expand to nothing. */
export type ShellEnvironment = Readonly<Record<string, string>>;

/**
 * Expands a word as a POSIX shell does inside double quotes: `$X`, `${X}`, `${X:-default}` and its relatives,
 * `${#X}`, `${X:1:3}`, `${X#prefix}`, `${X%suffix}`, `$((1 + X))`, and a backslash before `$`, `"`, `\` or a backquote.
 * Nothing is executed, and neither braces nor globs are expanded.
 *
 * @throws {CacheArchiveError} `bad-word`: command substitution, bad syntax, or `${X:?}` of an unset variable; callers keep
 *   the word as it is and say so
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_06 (cache document 3.7)
 */
export function expandShellWord(text: string, environment: ShellEnvironment): string {
  const reader = new WordReader(text, environment);
  return reader.readUntil(undefined);
}

const ESCAPABLE = new Set(["$", '"', "\\", "`"]);
/** Deeper nesting is a mistake or an attack. */
const MAX_DEPTH = 64;

class WordReader {
  readonly #text: string;
  readonly #environment: ShellEnvironment;
  #at = 0;
  #depth = 0;

  constructor(text: string, environment: ShellEnvironment) {
    this.#text = text;
    this.#environment = environment;
  }

  /** Expands up to this character, which is consumed; without one, to the end. */
  readUntil(end: "}" | undefined): string {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw this.#error(`nested more than ${MAX_DEPTH} times`);
    let result = "";
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) {
        if (end !== undefined) throw this.#error("a ${ is not closed");
        break;
      }
      this.#at += 1;
      if (character === end) break;
      if (character === "\\") result += this.#readEscape();
      else if (character === "`") throw this.#error("command substitution is not executed");
      else if (character === "$") result += this.#readDollar();
      else result += character;
    }
    this.#depth -= 1;
    return result;
  }

  #readEscape(): string {
    const next = this.#text[this.#at];
    if (next === "\n") {
      this.#at += 1;
      return "";
    }
    // A closing brace is escaped inside a parameter only; outside, the backslash stays for the glob.
    if (next === undefined || !(ESCAPABLE.has(next) || (next === "}" && this.#depth > 1))) return "\\";
    this.#at += 1;
    return next;
  }

  #readDollar(): string {
    const rest = this.#text.slice(this.#at);
    if (rest.startsWith("((")) return this.#readArithmetic();
    if (rest.startsWith("(")) throw this.#error("command substitution is not executed");
    if (rest.startsWith("{")) {
      this.#at += 1;
      return this.#readBraces();
    }
    const name = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-])/.exec(rest)?.[0];
    if (name === undefined) return "$";
    this.#at += name.length;
    return this.#value(name) ?? "";
  }

  #readArithmetic(): string {
    const start = this.#at + 2;
    let depth = 0;
    for (let end = start; end < this.#text.length; end += 1) {
      const character = this.#text[end];
      if (character === "(") depth += 1;
      if (character !== ")") continue;
      if (depth > 0) {
        depth -= 1;
        continue;
      }
      if (this.#text[end + 1] !== ")") throw this.#error("command substitution is not executed");
      this.#at = end + 2;
      return this.#calculate(expandShellWord(this.#text.slice(start, end), this.#environment));
    }
    throw this.#error("a $(( is not closed");
  }

  #readBraces(): string {
    const rest = this.#text.slice(this.#at);
    const length = /^#(?<name>[A-Za-z_][A-Za-z0-9_]*)\}/.exec(rest);
    if (length?.groups !== undefined) {
      this.#at += length[0].length;
      return String(Array.from(this.#value(length.groups["name"] ?? "") ?? "").length);
    }
    const name = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?!$-])/.exec(rest)?.[0];
    if (name === undefined) throw this.#error("there is no name after ${");
    this.#at += name.length;
    const operator = /^(?:\}|:[-=+?]|[-=+?]|##|#|%%|%|:)/.exec(this.#text.slice(this.#at))?.[0];
    if (operator === undefined) throw this.#error(`\${${name} is followed by something unknown`);
    this.#at += operator.length;
    if (operator === "}") return this.#value(name) ?? "";
    return this.#applyOperator(name, operator, this.readUntil("}"));
  }

  #applyOperator(name: string, operator: string, word: string): string {
    const value = this.#value(name);
    if (operator !== ":") {
      const result = applyParameterOperator(operator, value, word);
      if (result === undefined) throw this.#error(word === "" ? `${name} is not set` : `${name}: ${word}`);
      return result;
    }
    const characters = Array.from(value ?? "");
    const colon = word.indexOf(":");
    const offset = this.#number(colon === -1 ? word : word.slice(0, colon));
    const start = offset < 0 ? Math.max(characters.length + offset, 0) : offset;
    if (offset < -characters.length) return "";
    if (colon === -1) return characters.slice(start).join("");
    const count = this.#number(word.slice(colon + 1));
    const end = count < 0 ? characters.length + count : start + count;
    if (end < start) throw this.#error("the substring ends before it begins");
    return characters.slice(start, end).join("");
  }

  #number(expression: string): number {
    return Number(this.#calculate(expression));
  }

  #calculate(expression: string): string {
    try {
      return String(evaluateArithmetic(expression, (name) => this.#value(name)));
    } catch (error) {
      throw this.#error(error instanceof Error ? error.message : String(error));
    }
  }

  #value(name: string): string | undefined {
    // Positional and special parameters do not exist here.
    if (!isParameterName(name) || !Object.hasOwn(this.#environment, name)) return undefined;
    return this.#environment[name];
  }

  #error(what: string): CacheArchiveError {
    return new CacheArchiveError({ code: "bad-word", message: `expand "${this.#text}": ${what}` });
  }
}
