import { ExpressionError } from "../errors.ts";

export type Token =
  | { readonly kind: "variable"; readonly name: string; readonly position: number }
  | { readonly kind: "string"; readonly value: string; readonly position: number }
  | { readonly kind: "pattern"; readonly literal: string; readonly position: number }
  | { readonly kind: "null"; readonly position: number }
  | { readonly kind: "operator"; readonly operator: Operator; readonly position: number };

export type Operator = "==" | "!=" | "=~" | "!~" | "&&" | "||" | "(" | ")";

/** @throws {ExpressionError} a character that starts no token, naming what to write instead */
export function tokenize(expression: string): readonly Token[] {
  const tokens: Token[] = [];
  let position = 0;
  while (position < expression.length) {
    if (/\s/.test(expression[position] ?? "")) {
      position++;
      continue;
    }
    const { token, length } = nextToken(expression, position);
    tokens.push(token);
    position += length;
  }
  return tokens;
}

function nextToken(expression: string, position: number): { token: Token; length: number } {
  const operator = at(OPERATOR, expression, position)?.[0];
  if (operator !== undefined) {
    return { token: { kind: "operator", operator: operator as Operator, position }, length: operator.length };
  }
  const variable = at(VARIABLE, expression, position);
  if (variable !== undefined)
    return { token: { kind: "variable", name: variable[1] ?? "", position }, length: variable[0].length };
  const string = at(STRING, expression, position);
  if (string !== undefined) {
    return { token: { kind: "string", value: string[1] ?? string[2] ?? "", position }, length: string[0].length };
  }
  const pattern = at(PATTERN, expression, position)?.[0];
  if (pattern !== undefined) return { token: { kind: "pattern", literal: pattern, position }, length: pattern.length };
  const nothing = at(NULL, expression, position)?.[0];
  if (nothing !== undefined) return { token: { kind: "null", position }, length: nothing.length };
  throw new ExpressionError(expression, position, reasonFor(expression.slice(position)));
}

const OPERATOR = /==|!=|=~|!~|&&|\|\||\(|\)/y;
const VARIABLE = /\$(\w+)/y;
const STRING = /"(.*?)"|'(.*?)'/sy;
const PATTERN = /\/(?:[^/\\]|\\.)+\/[imsU]*/sy;
const NULL = /null\b/y;

/** A sticky match at exactly this place. */
function at(pattern: RegExp, text: string, position: number): RegExpExecArray | undefined {
  pattern.lastIndex = position;
  return pattern.exec(text) ?? undefined;
}

function reasonFor(rest: string): string {
  if (rest.startsWith("${")) return "write $NAME instead of ${NAME} in a condition";
  if (rest.startsWith('"') || rest.startsWith("'")) return "the quote is not closed";
  if (rest.startsWith("/")) return "the regular expression is not closed by a slash";
  if (/^[&|]/.test(rest)) return `write ${rest[0]}${rest[0]} instead of ${rest[0]}`;
  if (rest.startsWith("=")) return "write == to compare";
  if (/^\w/.test(rest)) return `${/^[\w-]+/.exec(rest)?.[0]} is neither a $VARIABLE nor in quotes`;
  return `unexpected ${rest[0]}`;
}
