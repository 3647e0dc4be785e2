import { readFile, rename, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";

import { FAILURE_REASONS, Secret } from "@fleetfoot/coordinator-client";
import type { FailureReason } from "@fleetfoot/coordinator-client";

import type { UnfinishedJobFacts, UnfinishedJobResult } from "./types.ts";

/** Raised when an older program could not understand what is written. */
const VERSION = 1;

const FACTS_FILE = "job.json";
const RESULT_FILE = "result.json";
const ACKNOWLEDGED_FILE = "acknowledged";

/** @throws {Error} the file cannot be written */
export async function writeFacts(directory: string, facts: UnfinishedJobFacts): Promise<void> {
  await replaceFile(join(directory, FACTS_FILE), { version: VERSION, ...facts, token: facts.token.reveal() });
}

/** @throws {Error} the file is not there, or is not what this program writes; the message says what is wrong */
export async function readFacts(directory: string): Promise<UnfinishedJobFacts> {
  const record = parse(await readFile(join(directory, FACTS_FILE), "utf8"));
  if (record["version"] !== VERSION) throw new Error(`its version is ${String(record["version"])}, not ${VERSION}`);
  const temporaryDirectory = read(record, "temporaryDirectory", isText);
  // The directory is removed with all that is in it, so a wrong one must not pass.
  if (!isAbsolute(temporaryDirectory) || !temporaryDirectory.endsWith(".tmp"))
    throw new Error("its temporaryDirectory is no directory of a job");
  return {
    id: read(record, "id", isCount),
    token: new Secret(read(record, "token", isText)),
    url: read(record, "url", isText),
    systemId: read(record, "systemId", isText),
    debugTrace: read(record, "debugTrace", isBoolean),
    timestamps: read(record, "timestamps", isBoolean),
    outputLimitBytes: read(record, "outputLimitBytes", isCount),
    temporaryDirectory,
  };
}

/** @throws {Error} the file cannot be written */
export async function writeResult(directory: string, result: UnfinishedJobResult): Promise<void> {
  await replaceFile(join(directory, RESULT_FILE), result);
}

/**
 * @returns undefined when the job had not ended
 * @throws {Error} the file is not what this program writes
 */
export async function readResult(directory: string): Promise<UnfinishedJobResult | undefined> {
  const text = await readIfThere(join(directory, RESULT_FILE));
  if (text === undefined) return undefined;
  const record = parse(text);
  if (record["state"] === "success") return { state: "success" };
  if (record["state"] !== "failed") throw new Error("its result has no state");
  const failureReason = read(record, "failureReason", isReason);
  const { exitCode } = record;
  return typeof exitCode === "number"
    ? { state: "failed", failureReason, exitCode }
    : { state: "failed", failureReason };
}

/** Not as a whole and not in vain: what a torn file says is found out by asking the coordinator. */
export async function writeAcknowledged(directory: string, bytes: number): Promise<void> {
  await writeFile(join(directory, ACKNOWLEDGED_FILE), `${bytes}\n`, { mode: 0o600 });
}

export async function readAcknowledged(directory: string): Promise<number> {
  const text = await readIfThere(join(directory, ACKNOWLEDGED_FILE));
  const bytes = /^\d+\n$/.test(text ?? "") ? Number(text) : 0;
  return isCount(bytes) ? bytes : 0;
}

/** A process that is killed leaves the old file or the new one. */
async function replaceFile(path: string, content: unknown): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  await rename(temporary, path);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function parse(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The platform's own message quotes the text, in which there is a token.
    throw new Error("it is no JSON");
  }
  if (typeof value !== "object" || value === null) throw new Error("it is no object");
  return value as Readonly<Record<string, unknown>>;
}

function read<Value>(
  record: Readonly<Record<string, unknown>>,
  key: string,
  fits: (value: unknown) => value is Value,
): Value {
  const value = record[key];
  if (!fits(value)) throw new Error(`its ${key} is missing or of another kind`);
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isReason(value: unknown): value is FailureReason {
  return (FAILURE_REASONS as readonly unknown[]).includes(value);
}
