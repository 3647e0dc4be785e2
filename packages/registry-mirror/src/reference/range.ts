/** Bytes from `start` up to, not including, `end`. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a `Range` header for a body of known length.
 *
 * @returns `undefined` when the whole body is to be sent: no header, another unit, several ranges, or nothing that can be read
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-range
 */
export function parseRange(header: string | undefined, bytes: number): ByteSpan | "unsatisfiable" | undefined {
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") {
    const suffix = Number(last);
    return suffix === 0 || bytes === 0 ? "unsatisfiable" : { start: Math.max(0, bytes - suffix), end: bytes };
  }
  const start = Number(first);
  const end = last === "" ? bytes : Math.min(Number(last) + 1, bytes);
  return start >= end ? "unsatisfiable" : { start, end };
}

/**
 * Reads the `Content-Range` of a part that was asked for from `start` on.
 *
 * @returns length of the whole body, or `undefined` when the part is another one or the length is not told
 */
export function totalOfContentRange(header: string | undefined, start: number): number | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header ?? "");
  if (match === null || Number(match[1]) !== start) return undefined;
  const total = Number(match[3]);
  return Number(match[2]) === total - 1 ? total : undefined;
}

/** Reads `Content-Length`. */
export function parseLength(header: string | undefined): number | undefined {
  return /^\d{1,15}$/.test(header ?? "") ? Number(header) : undefined;
}
