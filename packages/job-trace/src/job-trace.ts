import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Writable } from "node:stream";

import { BufferFile } from "./buffer-file.ts";
import { JobTraceError } from "./errors.ts";
import { FilterChain } from "./filters/filter-chain.ts";
import { compilePhrases } from "./filters/phrase-masker.ts";
import { compileTokenPrefixes, DEFAULT_TOKEN_PREFIXES } from "./filters/token-masker.ts";
import { TraceLimit } from "./trace-limit.ts";
import { createTraceStream, Pace } from "./trace-stream.ts";
import type {
  JobTrace,
  JobTraceOptions,
  OpenJobTraceOptions,
  ReopenJobTraceOptions,
  TraceStreamOptions,
} from "./types.ts";

const DEFAULT_LIMIT_BYTES = 4 * 1024 * 1024;

/**
 * Opens the log of a job: masks secrets, repairs UTF-8, limits, checksums, and keeps the result in a file.
 *
 * @throws {JobTraceError} `open-failed`: the file cannot be made
 * @throws {RangeError} the limit is no whole number of bytes
 * @see coordinator-protocol 8.1, 13
 */
export async function openJobTrace(options: OpenJobTraceOptions): Promise<JobTrace> {
  requireLimit(options);
  if ("file" in options) {
    const file = await BufferFile.create(options.file);
    return makeTrace(file, options, () => file.close());
  }
  const file = await BufferFile.create(join(options.directory, `trace-${randomUUID()}.log`));
  return makeTrace(file, options, () => file.remove());
}

/**
 * Goes on with the log that another process has kept in a file of a given name, at the point that the file has reached. The process must
 * have ended. What was written counts for the limit; the start of a character at its end is dropped.
 *
 * @throws {JobTraceError} `open-failed`, `read-failed`
 * @throws {RangeError} the limit is no whole number of bytes
 */
export async function reopenJobTrace(options: ReopenJobTraceOptions): Promise<JobTrace> {
  requireLimit(options);
  const file = await BufferFile.reopen(options.file);
  return makeTrace(file, options, () => file.close());
}

function makeTrace(file: BufferFile, options: JobTraceOptions, finish: () => Promise<void>): JobTrace {
  const { tokenPrefixes = DEFAULT_TOKEN_PREFIXES, limitBytes = DEFAULT_LIMIT_BYTES } = options;
  const { timestamps = false, now = Date.now } = options;
  const maskedValues = new Set(options.maskedValues);
  const compiledPrefixes = compileTokenPrefixes(tokenPrefixes);
  let phrases = compilePhrases(maskedValues);
  const limit = new TraceLimit(limitBytes, file.size);
  const pace = new Pace(() => (file.isCongested ? file.relieve() : undefined));
  const open = new Map<Writable, FilterChain>();
  let closing: Promise<void> | undefined;
  let disposing: Promise<void> | undefined;

  const sink = {
    get isFull(): boolean {
      return limit.isReached || file.failure !== undefined;
    },
    append(bytes: Buffer): void {
      for (const kept of limit.take(bytes)) file.append(kept);
    },
    pace: (bytes: number) => pace.take(bytes),
  };

  async function close(): Promise<void> {
    await Promise.all([...open.keys()].map(endStream));
    await file.settle();
    if (file.failure !== undefined) throw file.failure;
  }

  async function dispose(): Promise<void> {
    await Promise.all([...open.keys()].map(endStream));
    await finish();
  }

  return {
    openStream(streamOptions: TraceStreamOptions): Writable {
      if (closing !== undefined || disposing !== undefined) throw new JobTraceError("trace-closed", "Opening a stream");
      const chain = new FilterChain({ ...streamOptions, phrases, tokenPrefixes: compiledPrefixes, timestamps, now });
      const stream = createTraceStream(chain, sink);
      open.set(stream, chain);
      stream.once("close", () => open.delete(stream));
      return stream;
    },
    get size() {
      return file.size;
    },
    get checksum() {
      return `crc32:${file.crc.toString(16).padStart(8, "0")}`;
    },
    async read(offset: number, maxBytes: number): Promise<Uint8Array> {
      requireWhole("offset", offset, 0);
      requireWhole("maxBytes", maxBytes, 1);
      if (disposing !== undefined) throw new JobTraceError("trace-disposed", `Reading at ${offset}`);
      return file.read(offset, maxBytes);
    },
    addMaskedValues(values: readonly string[]): void {
      for (const value of values) maskedValues.add(value);
      phrases = compilePhrases(maskedValues);
      for (const chain of open.values()) chain.replacePhrases(phrases);
    },
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (disposing ??= dispose()),
  };
}

async function endStream(stream: Writable): Promise<void> {
  if (stream.closed) return;
  const closed = new Promise<void>((resolve) => {
    stream.once("close", resolve);
  });
  stream.end();
  await closed;
}

function requireLimit({ limitBytes = DEFAULT_LIMIT_BYTES }: JobTraceOptions): void {
  requireWhole("limitBytes", limitBytes, 0);
}

function requireWhole(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${name} must be an integer of at least ${least}, but is ${value}`);
  }
}
