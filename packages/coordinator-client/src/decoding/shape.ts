/** Reads one JSON value; `path` names its place for the message of a failure. */
export type Decoder<Value> = (value: unknown, path: string) => Value;

/** A value has another JSON type than the protocol says. Stays inside the package: the call reports it as undecodable. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** Absent and `null` give the empty string. */
export const text: Decoder<string> = (value, path) => {
  if (value === undefined || value === null) {
    return "";
  }
  return typeof value === "string" ? value : fail(path, "a string", value);
};

/** Absent and `null` give 0. */
export const number: Decoder<number> = (value, path) => {
  if (value === undefined || value === null) {
    return 0;
  }
  return typeof value === "number" ? value : fail(path, "a number", value);
};

/** Absent and `null` give 0. */
export const integer: Decoder<number> = (value, path) => {
  const result = number(value, path);
  return Number.isInteger(result) ? result : fail(path, "an integer", value);
};

/** Absent and `null` give false. */
export const boolean: Decoder<boolean> = (value, path) => {
  if (value === undefined || value === null) {
    return false;
  }
  return typeof value === "boolean" ? value : fail(path, "a boolean", value);
};

/** Absent and `null` give the empty object; members stay as they came. */
export const record: Decoder<Readonly<Record<string, unknown>>> = (value, path) => {
  if (value === undefined || value === null) {
    return {};
  }
  return isRecord(value) ? value : fail(path, "an object", value);
};

/** Absent and `null` give `null`, which here means something else than the zero value. */
export function nullable<Value>(decode: Decoder<Value>): Decoder<Value | null> {
  return (value, path) => (value === undefined || value === null ? null : decode(value, path));
}

/** Absent and `null` give the empty list; a `null` inside it gives the element's zero value. */
export function list<Value>(decode: Decoder<Value>): Decoder<readonly Value[]> {
  return (value, path) => {
    if (value === undefined || value === null) {
      return [];
    }
    return Array.isArray(value)
      ? value.map((element, index) => decode(element, `${path}[${index}]`))
      : fail(path, "an array", value);
  };
}

/** Absent and `null` give the object whose members are all zero values; members without a decoder are ignored. */
export function object<Shape>(members: { readonly [Key in keyof Shape]-?: Decoder<Shape[Key]> }): Decoder<Shape> {
  const entries = Object.entries<Decoder<unknown>>(members);
  return (value, path) => {
    const source = record(value, path);
    const result: Record<string, unknown> = {};
    for (const [key, decode] of entries) {
      result[key] = decode(source[key], path === "" ? key : `${path}.${key}`);
    }
    return result as Shape;
  };
}

/** Rejects the value. */
export function fail(path: string, expected: string, value: unknown): never {
  throw new ShapeError(`${path || "the body"} must be ${expected}, not ${kindOf(value)}`);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON type only: a value may be a secret. */
function kindOf(value: unknown): string {
  if (value === null) {
    return "null";
  }
  return Array.isArray(value) ? "array" : typeof value;
}
