import type { Writable } from "node:stream";

/** How a new trace is kept and what must not appear in it. */
export type OpenJobTraceOptions = JobTraceOptions &
  (
    | {
        /** Existing directory for a buffer file of the trace's own, which is removed when the trace is disposed. */
        readonly directory: string;
      }
    | {
        /**
         * Buffer file to make; there must be none of that name. It stays when the trace is disposed, so that another process can go on
         * with it (see `reopenJobTrace`): who names it removes it.
         */
        readonly file: string;
      }
  );

/** How the trace of another process is continued. */
export interface ReopenJobTraceOptions extends JobTraceOptions {
  /** The buffer file. It stays when the trace is disposed. */
  readonly file: string;
}

/** What must not appear in a trace, and how much of it is kept. Buffer files are readable by their owner only. */
export interface JobTraceOptions {
  /**
   * Values that must not reach the buffer. Outer blanks are trimmed, empty ones dropped.
   *
   * @default []
   */
  readonly maskedValues?: readonly string[];
  /**
   * Texts after which a run of `[0-9A-Za-z._=-]` is a token, such as `glpat-`. There is no cap on their number.
   *
   * @default DEFAULT_TOKEN_PREFIXES
   */
  readonly tokenPrefixes?: readonly string[];
  /**
   * Bytes after which output is dropped; the notice about it comes on top.
   *
   * @default 4_194_304
   */
  readonly limitBytes?: number;
  /**
   * Whether each line starts with the time, the stream and the channel (32 bytes).
   *
   * @default false
   */
  readonly timestamps?: boolean;
  /**
   * Epoch milliseconds; fractions are kept to the microsecond.
   *
   * @default Date.now
   */
  readonly now?: () => number;
}

/** Who writes to a stream. */
export type TraceStreamSource = "runner" | "job" | "service";

/** Which stream of a trace to open. */
export interface TraceStreamOptions {
  readonly source: TraceStreamSource;
  readonly channel: "stdout" | "stderr";
}

/**
 * The log of one job: several streams in, one masked, limited and checksummed sequence of bytes out.
 *
 * @see coordinator-protocol 8.1, 13
 */
export interface JobTrace {
  /**
   * Opens a stream with a filter chain of its own, so a secret cut in two by writes is found, and one cut in two by
   * another stream's output is not.
   *
   * Writers never see an error: not from the limit, and not from a full disk (see {@link JobTrace.close}). `end()`
   * writes what the filters had held back.
   *
   * @throws {JobTraceError} `trace-closed`: the trace is closed already
   */
  openStream(options: TraceStreamOptions): Writable;
  /** Bytes in the trace, notice of the limit included. */
  readonly size: number;
  /** CRC-32 of all bytes in the trace, as `crc32:` and eight lower-case hexadecimal digits. */
  readonly checksum: string;
  /**
   * Reads from any offset, at any time until the trace is disposed.
   *
   * @param offset - bytes from the start
   * @param maxBytes - at least 1
   * @returns up to `maxBytes` bytes, fewer only at the end of the trace; empty at or behind the end
   * @throws {JobTraceError} `read-failed`, `trace-disposed`
   * @throws {RangeError} an argument is not such a number
   */
  read(offset: number, maxBytes: number): Promise<Uint8Array>;
  /**
   * Masks further values from now on, also in what the streams hold back. What was written before stays as it is.
   */
  addMaskedValues(values: readonly string[]): void;
  /**
   * Ends all streams and waits until every byte is in the file. The trace stays readable. Calls after the first wait
   * for the same end.
   *
   * @throws {JobTraceError} `write-failed`: the file took only a part, for example because the disk is full. Size and
   * checksum are then those of that part, which can still be read.
   */
  close(): Promise<void>;
  /** Closes the trace and removes its file, unless the caller has named it. */
  [Symbol.asyncDispose](): Promise<void>;
}
