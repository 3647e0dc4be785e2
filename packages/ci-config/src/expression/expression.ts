import { ExpressionError } from "../errors.ts";
import type { Pattern, RegexEngine } from "./regex.ts";
import { mayUseRegex, RegexEngine as Engine } from "./regex.ts";
import { tokenize } from "./tokens.ts";
import type { Operator, Token } from "./tokens.ts";

/** A condition of `rules:if` that was read once and can be decided many times. */
export interface Expression {
  /** @param lookup - undefined for a variable that is not defined, which equals `null` */
  isTrue(lookup: (name: string) => string | undefined): boolean;
}

/**
 * Reads and decides one condition of `rules:if`.
 *
 * @throws {ExpressionError} the text is not a condition
 * @see https://docs.gitlab.com/ci/jobs/job_rules/#cicd-variable-expressions
 */
export async function evaluateExpression(text: string, variables: Readonly<Record<string, string>>): Promise<boolean> {
  const engine = new Engine();
  if (mayUseRegex(text)) await engine.load();
  return parseExpression(text, engine).isTrue((name) => (Object.hasOwn(variables, name) ? variables[name] : undefined));
}

/**
 * @param engine - already loaded when the text contains `=~` or `!~`
 * @throws {ExpressionError} the text is not a condition
 */
export function parseExpression(text: string, engine: RegexEngine): Expression {
  const evaluate = new Parser(text, engine).parse();
  return { isTrue: (lookup) => isPresent(evaluate(lookup)) };
}

type Value = string | boolean | undefined;
type Lookup = (name: string) => string | undefined;
type Evaluate = (lookup: Lookup) => Value;

/** The whole condition holds when its value is neither nothing nor blank. */
function isPresent(value: Value): boolean {
  return typeof value === "string" ? value.trim() !== "" : value === true;
}

/** Inside a condition an empty string counts as true, as it does in the coordinator's language. */
function isTruthy(value: Value): boolean {
  return value !== undefined && value !== false;
}

const MAX_NESTING = 100;

class Parser {
  readonly #text: string;
  readonly #engine: RegexEngine;
  readonly #tokens: readonly Token[];
  #index = 0;
  #nesting = 0;

  constructor(text: string, engine: RegexEngine) {
    this.#text = text;
    this.#engine = engine;
    this.#tokens = tokenize(text);
  }

  parse(): Evaluate {
    if (this.#tokens.length === 0) throw this.#error("the condition is empty");
    const evaluate = this.#or();
    if (this.#peek() !== undefined) throw this.#error("expected && or || here");
    return evaluate;
  }

  #or(): Evaluate {
    let left = this.#and();
    while (this.#take("||") !== undefined) {
      const [before, after] = [left, this.#and()];
      left = (lookup) => {
        const value = before(lookup);
        return isTruthy(value) ? value : after(lookup);
      };
    }
    return left;
  }

  #and(): Evaluate {
    let left = this.#comparison();
    while (this.#take("&&") !== undefined) {
      const [before, after] = [left, this.#comparison()];
      left = (lookup) => {
        const value = before(lookup);
        return isTruthy(value) ? after(lookup) : value;
      };
    }
    return left;
  }

  #comparison(): Evaluate {
    let left = this.#operand();
    for (;;) {
      const operator = this.#take("==", "!=", "=~", "!~");
      if (operator === undefined) return left;
      const before = left;
      if (operator === "==" || operator === "!=") {
        const after = this.#operand();
        left = (lookup) => (before(lookup) === after(lookup)) === (operator === "==");
      } else {
        const after = this.#pattern();
        left = (lookup) => {
          const value = before(lookup);
          if (value === undefined || value === false) return operator === "!~";
          const pattern = after(lookup);
          // Without a usable pattern in the variable the condition does not hold, whichever operator it has.
          return pattern !== undefined && pattern.test(String(value)) === (operator === "=~");
        };
      }
    }
  }

  #pattern(): (lookup: Lookup) => Pattern | undefined {
    const token = this.#peek();
    if (token?.kind === "pattern") {
      const pattern = this.#engine.compile(token.literal);
      if (pattern === undefined) throw this.#error(`${token.literal} is not a valid RE2 regular expression`);
      this.#index++;
      return () => pattern;
    }
    if (token?.kind === "variable" || token?.kind === "string") {
      this.#index++;
      return (lookup) => {
        const literal = token.kind === "string" ? token.value : lookup(token.name);
        return literal === undefined ? undefined : this.#engine.compile(literal);
      };
    }
    throw this.#error("expected a /pattern/ or a variable that holds one");
  }

  #operand(): Evaluate {
    const token = this.#peek();
    if (token === undefined) throw this.#error("the condition ends too early");
    if (token.kind === "operator" && token.operator === "(") return this.#group();
    if (token.kind === "operator") throw this.#error(`expected a $VARIABLE, a string or null before ${token.operator}`);
    if (token.kind === "pattern") throw this.#error("a /pattern/ can only stand after =~ or !~");
    this.#index++;
    if (token.kind === "variable") return (lookup) => lookup(token.name);
    const value = token.kind === "string" ? token.value : undefined;
    return () => value;
  }

  #group(): Evaluate {
    if (++this.#nesting > MAX_NESTING) throw this.#error(`more than ${MAX_NESTING} nested parentheses`);
    this.#index++;
    const inner = this.#or();
    if (this.#take(")") === undefined) throw this.#error("a parenthesis is not closed");
    this.#nesting--;
    return inner;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#index];
  }

  #take(...operators: readonly Operator[]): Operator | undefined {
    const token = this.#peek();
    if (token?.kind !== "operator" || !operators.includes(token.operator)) return undefined;
    this.#index++;
    return token.operator;
  }

  #error(reason: string): ExpressionError {
    return new ExpressionError(this.#text, this.#peek()?.position ?? this.#text.length, reason);
  }
}
