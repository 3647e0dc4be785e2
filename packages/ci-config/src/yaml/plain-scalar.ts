/** A plain scalar's value and how the coordinator would print it; undefined value: a date, which it refuses. */
export type PlainScalar =
  | { readonly value: string | number | boolean | null; readonly text: string }
  | { readonly value: undefined; readonly text: string };

/**
 * Resolves an unquoted scalar the way the coordinator's parser does: YAML 1.1 with `yes`, `on`, octal `0755`
 * and base-60 `1:30`, but not the one-letter booleans.
 *
 * @see https://yaml.org/type/ - the YAML 1.1 types
 */
export function resolvePlainScalar(text: string): PlainScalar {
  if (text === "" || text === "~" || NULL.test(text)) return { value: null, text: "" };
  const first = text.charCodeAt(0);
  if (isLetter(first)) {
    if (TRUE.test(text)) return { value: true, text: "true" };
    if (FALSE.test(text)) return { value: false, text: "false" };
    return { value: text, text };
  }
  if (INTEGER.test(text)) return integer(text.replace(/[_,]/g, ""));
  if (FLOAT.test(text) && /\d/.test(text)) return float(Number(text.replace(/[_,]/g, "")));
  if (SEXAGESIMAL.test(text)) return sexagesimal(text);
  if (DATE.test(text)) return { value: undefined, text };
  return { value: text, text };
}

const NULL = /^null$/i;
const TRUE = /^(?:yes|true|on)$/i;
const FALSE = /^(?:no|false|off)$/i;
const INTEGER = /^[-+]?(?:0b[01_,]+|0[0-7_,]*|[1-9][0-9_,]*|0x[0-9a-fA-F_,]+)$/;
const FLOAT = /^[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9][0-9_,]*[eE][-+]?[0-9]+$/;
const SEXAGESIMAL = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}$/;
const DATE = /^-?\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]|\s+)\d{1,2}:\d\d:\d\d(?:\.\d*)?\s*(?:Z|[-+]\d{1,2}:?(?:\d\d)?)?)?$/;

function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

function integer(digits: string): PlainScalar {
  const negative = digits.startsWith("-");
  const bare = digits.replace(/^[-+]/, "");
  const literal = /^0[0-7]+$/.test(bare) ? `0o${bare}` : bare;
  const text = `${negative && BigInt(literal) !== 0n ? "-" : ""}${BigInt(literal)}`;
  return { value: Number(text), text };
}

function float(value: number): PlainScalar {
  const text = String(value);
  return { value, text: Number.isInteger(value) && !text.includes("e") ? `${text}.0` : text };
}

function sexagesimal(text: string): PlainScalar {
  const negative = text.startsWith("-");
  const parts = text.replace(/^[-+]/, "").replaceAll("_", "").split(":");
  const value = parts.reduce((sum, part) => sum * 60 + Number(part), 0) * (negative ? -1 : 1);
  return { value, text: String(value) };
}
