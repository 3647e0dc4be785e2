import { CacheStoreError } from "./errors.ts";

/** Longest name that every store takes, in bytes of UTF-8. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
const maxNameBytes = 1024;

/** Who checks, for the message. */
export interface CheckedCall {
  readonly store: string;
  readonly operation: string;
}

/**
 * Checks that a name is a clean relative path: no empty, `.` or `..` segment, no backslash, no control character, at most
 * 1024 bytes of UTF-8. Every store calls it before it does anything with a name, so that no name leads elsewhere.
 *
 * @throws {CacheStoreError} code `invalid-name`
 */
export function checkObjectName(name: string, call: CheckedCall): void {
  const reason =
    problemOf(name) ?? (name.split("/").some(leadsElsewhere) ? "has an empty, . or .. segment" : undefined);
  if (reason !== undefined) refuse(name, call, reason);
}

/**
 * Checks a prefix for {@link ListsObjects}: like a name, but it may be empty or end anywhere inside a name.
 *
 * @throws {CacheStoreError} code `invalid-name`
 */
export function checkListPrefix(prefix: string, call: CheckedCall): void {
  const whole = prefix.split("/").slice(0, -1);
  const reason = problemOf(prefix) ?? (whole.some(leadsElsewhere) ? "has an empty, . or .. segment" : undefined);
  if (reason !== undefined) refuse(prefix, call, reason);
}

/**
 * Checks metadata: names of lower-case letters, digits and dashes, values without control characters, as headers need.
 *
 * @throws {CacheStoreError} code `invalid-metadata`
 */
export function checkMetadata(metadata: Readonly<Record<string, string>>, object: string, call: CheckedCall): void {
  for (const [name, value] of Object.entries(metadata)) {
    if (/^[a-z0-9][a-z0-9-]*$/.test(name) && value.isWellFormed() && !/\p{Cc}/u.test(value)) continue;
    const reason = `metadata ${JSON.stringify(name)} cannot be kept; use lower-case names and values without control characters`;
    throw new CacheStoreError({ code: "invalid-metadata", ...call, object, reason });
  }
}

function problemOf(name: string): string | undefined {
  if (!name.isWellFormed()) return "is not valid Unicode";
  if (/\p{Cc}/u.test(name)) return "has a control character";
  if (name.includes("\\")) return "has a backslash";
  return Buffer.byteLength(name) > maxNameBytes ? `is longer than ${maxNameBytes} bytes` : undefined;
}

function leadsElsewhere(segment: string): boolean {
  return segment === "" || segment === "." || segment === "..";
}

function refuse(object: string, call: CheckedCall, reason: string): never {
  throw new CacheStoreError({ code: "invalid-name", ...call, object, reason: `the name ${reason}` });
}
