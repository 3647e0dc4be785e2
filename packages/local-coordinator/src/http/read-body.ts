/**
 * Reads a request's body.
 *
 * @returns undefined when it is longer than `maxBytes`; the rest is then not read
 */
export async function readBody(request: Request, maxBytes: number): Promise<Buffer | undefined> {
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined
    ? Buffer.from(only.buffer, only.byteOffset, only.length)
    : Buffer.concat(chunks);
}

/** A JSON object of untrusted content. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads a body that must be a JSON object; an empty one and the literal `null` count as `{}`.
 *
 * @returns `too-large` or `invalid` instead of the object
 */
export async function readJson(request: Request, maxBytes: number): Promise<JsonObject | "too-large" | "invalid"> {
  const body = await readBody(request, maxBytes);
  if (body === undefined) return "too-large";
  if (body.length === 0) return {};
  try {
    return asObject(JSON.parse(body.toString("utf8")));
  } catch {
    return "invalid";
  }
}

/** The value when it is an object, otherwise an empty one. */
export function asObject(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** The value when it is a text that says something. */
export function asText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
