import { STATUS_CODES } from "node:http";

/** Status with its text, for instance `403 Forbidden`. */
export function statusLine(status: number, statusText: string): string {
  return `${status} ${statusText || (STATUS_CODES[status] ?? "")}`.trimEnd();
}

/**
 * What a coordinator or an object store says about a failure, from the body of its answer.
 *
 * @param mediaType - without parameters, in lower case
 * @returns undefined when the body says nothing readable
 * @see coordinator-protocol 1.6
 */
export function serverMessage(mediaType: string, body: string): string | undefined {
  if (mediaType === "application/json") {
    return jsonMessage(body);
  }
  if (mediaType === "application/xml" || mediaType === "text/xml") {
    return xmlMessage(body);
  }
  return undefined;
}

/** The message of an error and of what caused it; errors of the network stack may have an empty one. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const nested = error instanceof AggregateError ? error.errors[0] : error.cause;
  const inner = nested === undefined ? "" : describeError(nested);
  if (error.message === "" || inner === "" || error.message.endsWith(inner)) {
    return error.message || inner || error.name;
  }
  return `${error.message}: ${inner}`;
}

function jsonMessage(body: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return undefined;
  }
  const message = isRecord(parsed) ? parsed["message"] : undefined;
  if (typeof message === "string") {
    return message || undefined;
  }
  if (!isRecord(message)) {
    return undefined;
  }
  const parts = Object.entries(message).map(
    ([field, problems]) => `${field}: ${(Array.isArray(problems) ? problems : [problems]).map(String).join("; ")}`,
  );
  return parts.join(", ") || undefined;
}

function xmlMessage(body: string): string | undefined {
  if (!body.includes("<Error>")) {
    return undefined;
  }
  const code = /<Code>([^<]*)<\/Code>/.exec(body)?.[1];
  const message = /<Message>([^<]*)<\/Message>/.exec(body)?.[1];
  return [code, message].filter(Boolean).join(": ") || undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
