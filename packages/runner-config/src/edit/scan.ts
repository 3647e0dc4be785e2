/** One statement of a TOML text: a table header, or a key with its value. Offsets are characters from 0. */
export interface Statement {
  readonly kind: "header" | "pair";
  /** First character, after the indentation. */
  readonly start: number;
  /** After the last character, without a comment that follows. */
  readonly end: number;
  /** The header with its brackets, or the key before `=`. */
  readonly name: string;
  /** Of a pair: first character of the value. */
  readonly valueStart: number;
}

/**
 * Finds the statements of a text that is known to be valid TOML; strings and lists may span lines.
 *
 * @see https://toml.io/en/v1.0.0
 */
export function scanStatements(text: string): readonly Statement[] {
  const statements: Statement[] = [];
  let position = 0;
  while (position < text.length) {
    const character = text[position] ?? "";
    if (/\s/.test(character)) position++;
    else if (character === "#") position = lineEnd(text, position);
    else {
      const statement = character === "[" ? scanHeader(text, position) : scanPair(text, position);
      statements.push(statement);
      position = statement.end;
    }
  }
  return statements;
}

/** Offset of the line's end, without its line break. */
export function lineEnd(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

function scanHeader(text: string, start: number): Statement {
  const closing = text.startsWith("[[", start) ? "]]" : "]";
  let position = start + closing.length;
  while (position < text.length && !text.startsWith(closing, position)) {
    position = isQuote(text[position]) ? skipString(text, position) : position + 1;
  }
  const end = Math.min(position + closing.length, text.length);
  return { kind: "header", start, end, name: text.slice(start, end), valueStart: end };
}

function scanPair(text: string, start: number): Statement {
  let position = start;
  while (position < text.length && text[position] !== "=")
    position = isQuote(text[position]) ? skipString(text, position) : position + 1;
  const name = text.slice(start, position).trim();
  position++;
  while (text[position] === " " || text[position] === "\t") position++;
  const valueStart = position;
  let depth = 0;
  let end = position;
  while (position < text.length) {
    const character = text[position] ?? "";
    if (isQuote(character)) position = skipString(text, position);
    else if (character === "#") {
      if (depth === 0) break;
      position = lineEnd(text, position);
      continue;
    } else if (character === "\n" && depth === 0) break;
    else {
      if (character === "[" || character === "{") depth++;
      else if (character === "]" || character === "}") depth--;
      position++;
    }
    if (!/\s/.test(text[position - 1] ?? "")) end = position;
  }
  return { kind: "pair", start, end, name, valueStart };
}

function isQuote(character: string | undefined): boolean {
  return character === '"' || character === "'";
}

/** Offset after the string that starts here. */
function skipString(text: string, start: number): number {
  const quote = text[start] ?? "";
  const long = quote.repeat(3);
  const delimiter = text.startsWith(long, start) ? long : quote;
  let position = start + delimiter.length;
  while (position < text.length && !text.startsWith(delimiter, position))
    position += quote === '"' && text[position] === "\\" ? 2 : 1;
  position += delimiter.length;
  // Up to two quotes may stand directly before the closing three.
  if (delimiter === long) while (text[position] === quote) position++;
  return position;
}
