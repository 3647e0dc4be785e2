/** Gives a variable's text, undefined when it is not set. */
type Lookup = (name: string) => string | undefined;

/**
 * Calculates a shell arithmetic expression in signed 64-bit integers. Assignments are not supported.
 *
 * @throws {Error} bad syntax, division by zero, or a variable whose text is not a number
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_06_04
 */
export function evaluateArithmetic(expression: string, lookup: Lookup): bigint {
  const parser = new Parser(tokenize(expression), lookup);
  return parser.parseAll();
}

const TOKEN =
  /\s*(?:(?<number>0[xX][0-9a-fA-F]+|[0-9]+)|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<operator>\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>&|^~!?:()]))/y;

/** Binary operators by how tightly they bind; all but `**` group from the left. */
const PRECEDENCE: Readonly<Record<string, number>> = {
  "||": 1,
  "&&": 2,
  "|": 3,
  "^": 4,
  "&": 5,
  "==": 6,
  "!=": 6,
  "<": 7,
  ">": 7,
  "<=": 7,
  ">=": 7,
  "<<": 8,
  ">>": 8,
  "+": 9,
  "-": 9,
  "*": 10,
  "/": 10,
  "%": 10,
  "**": 11,
};
const POWER = 11;
/** Deeper nesting is a mistake or an attack. */
const MAX_DEPTH = 64;

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  let at = 0;
  while (expression.slice(at).trim() !== "") {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(expression);
    if (match === null) throw new Error(`"${expression}" is not an arithmetic expression`);
    tokens.push(match[0].trim());
    at = TOKEN.lastIndex;
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly string[];
  readonly #lookup: Lookup;
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly string[], lookup: Lookup) {
    this.#tokens = tokens;
    this.#lookup = lookup;
  }

  parseAll(): bigint {
    // An empty expression is zero.
    if (this.#tokens.length === 0) return 0n;
    const value = this.#condition();
    if (this.#at < this.#tokens.length)
      throw new Error(`unexpected "${this.#tokens[this.#at]}" in an arithmetic expression`);
    return value;
  }

  #condition(): bigint {
    const test = this.#binary(1);
    if (!this.#skip("?")) return test;
    const yes = this.#condition();
    if (!this.#skip(":")) throw new Error('"?" without ":" in an arithmetic expression');
    const no = this.#condition();
    return test === 0n ? no : yes;
  }

  #binary(minimum: number): bigint {
    let left = this.#unary();
    for (;;) {
      const operator = this.#tokens[this.#at] ?? "";
      const precedence = PRECEDENCE[operator];
      if (precedence === undefined || precedence < minimum) return left;
      this.#at += 1;
      const right = this.#binary(precedence === POWER ? precedence : precedence + 1);
      left = BigInt.asIntN(64, calculate(operator, left, right));
    }
  }

  #unary(): bigint {
    if (this.#skip("-")) return BigInt.asIntN(64, -this.#nested());
    if (this.#skip("+")) return this.#nested();
    if (this.#skip("!")) return this.#nested() === 0n ? 1n : 0n;
    if (this.#skip("~")) return ~this.#nested();
    if (this.#skip("(")) {
      this.#enter();
      const value = this.#condition();
      this.#depth -= 1;
      if (!this.#skip(")")) throw new Error('"(" without ")" in an arithmetic expression');
      return value;
    }
    return this.#operand();
  }

  #nested(): bigint {
    this.#enter();
    const value = this.#unary();
    this.#depth -= 1;
    return value;
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new Error("an arithmetic expression is nested too deep");
  }

  #operand(): bigint {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new Error("an arithmetic expression ends too early");
    this.#at += 1;
    if (/^[0-9]/.test(token)) return parseNumber(token);
    if (/^[A-Za-z_]/.test(token)) return parseNumber(this.#lookup(token) ?? "");
    throw new Error(`unexpected "${token}" in an arithmetic expression`);
  }

  #skip(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }
}

/** Decimal, octal with a leading zero, or hexadecimal. */
function parseNumber(text: string): bigint {
  const trimmed = text.trim();
  if (trimmed === "") return 0n;
  const sign = trimmed.startsWith("-") ? -1n : 1n;
  const digits = trimmed.replace(/^[+-]/, "");
  if (/^0[0-7]+$/.test(digits)) return BigInt.asIntN(64, sign * BigInt(`0o${digits}`));
  if (/^(?:0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)$/.test(digits)) return BigInt.asIntN(64, sign * BigInt(digits));
  throw new Error(`"${text}" is not a number`);
}

function calculate(operator: string, left: bigint, right: bigint): bigint {
  switch (operator) {
    case "||":
      return truth(left !== 0n || right !== 0n);
    case "&&":
      return truth(left !== 0n && right !== 0n);
    case "|":
      return left | right;
    case "^":
      return left ^ right;
    case "&":
      return left & right;
    case "==":
      return truth(left === right);
    case "!=":
      return truth(left !== right);
    case "<":
      return truth(left < right);
    case ">":
      return truth(left > right);
    case "<=":
      return truth(left <= right);
    case ">=":
      return truth(left >= right);
    case "<<":
      return left << (right & 63n);
    case ">>":
      return left >> (right & 63n);
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
    case "%":
      if (right === 0n) throw new Error("division by zero");
      return operator === "/" ? left / right : left % right;
    default:
      return power(left, right);
  }
}

/** Square and multiply within 64 bits, so that a huge exponent costs nothing. */
function power(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) throw new Error("an exponent is negative");
  let result = 1n;
  let factor = base;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = BigInt.asIntN(64, result * factor);
    factor = BigInt.asIntN(64, factor * factor);
  }
  return result;
}

function truth(value: boolean): bigint {
  return value ? 1n : 0n;
}
