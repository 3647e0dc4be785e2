import { describeError, serverMessage } from "../error-text.ts";
import type { WireResponse } from "../transport/transport.ts";

/** Decodes a body that has to be JSON, or says what is wrong with it. */
export async function readJson(
  response: WireResponse,
  signal: AbortSignal | undefined,
): Promise<{ json?: unknown; problem?: string }> {
  const type = mediaType(response);
  if (type !== "application/json") {
    void response.discard();
    return { problem: `its media type is ${type || "missing"}, not application/json` };
  }
  let bytes: Uint8Array | undefined;
  try {
    bytes = await response.bytes(MAX_JSON_BYTES);
  } catch (error) {
    signal?.throwIfAborted();
    return { problem: `its body broke off: ${describeError(error)}` };
  }
  if (bytes === undefined) {
    return { problem: `its body is longer than ${MAX_JSON_BYTES} bytes` };
  }
  try {
    return { json: JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) };
  } catch {
    return { problem: "its body is not JSON" };
  }
}

/** What a server says about a refusal; undefined when that is nothing to read. */
export async function readServerMessage(
  response: WireResponse,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const type = mediaType(response);
  if (type !== "application/json" && type !== "application/xml" && type !== "text/xml") {
    void response.discard();
    return undefined;
  }
  try {
    const bytes = await response.bytes(MAX_ERROR_BYTES, MAX_ERROR_MS);
    return bytes === undefined ? undefined : serverMessage(type, Buffer.from(bytes).toString());
  } catch {
    // The status alone decides; its explanation is lost with the connection.
    signal?.throwIfAborted();
    return undefined;
  }
}

/** Far more than any job needs, and little enough for its decoding not to hold up everything else. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_ERROR_MS = 1000;

function mediaType(response: WireResponse): string {
  return (response.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}
