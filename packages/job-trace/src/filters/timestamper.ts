import type { TraceStreamOptions, TraceStreamSource } from "../types.ts";
import { ByteBuilder } from "./byte-builder.ts";
import { NOTHING } from "./byte-filter.ts";
import type { ByteFilter } from "./byte-filter.ts";

const MAX_ENTRY_BYTES = 8 * 1024;
const HEADER_BYTES = 32;
const MARK_INDEX = HEADER_BYTES - 1;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const NEW_LINE_MARK = 0x20;
const CONTINUATION_MARK = 0x2b;

const STREAM_IDS: Readonly<Record<TraceStreamSource, string>> = { runner: "00", job: "01", service: "0f" };

/** For the output of all streams: a write is copied before the next one comes. */
const builder = new ByteBuilder();

/**
 * Puts the time, the stream and the channel in front of every line.
 *
 * Whole lines only, so that lines of several streams do not mix: the start of a line waits for its end. It goes out
 * early where a viewer could not wait, marked so that the rest is read as its continuation: behind the last carriage
 * return of a write without a line feed, and after 8 KiB. Every entry ends with a line feed, for otherwise the header of
 * the next one would not stand at the start of a line.
 *
 * @see coordinator-protocol 13.5, job-execution 1.10
 */
export class Timestamper implements ByteFilter {
  readonly #stream: string;
  readonly #now: () => number;
  /** Header and start of the line that waits. */
  readonly #pending: Buffer = Buffer.allocUnsafe(HEADER_BYTES + MAX_ENTRY_BYTES);
  #pendingBytes = 0;
  #header: Buffer = NOTHING;
  #headerTime = Number.NaN;
  #continues = false;

  constructor(options: TraceStreamOptions & { readonly now: () => number }) {
    this.#stream = `${STREAM_IDS[options.source]}${options.channel === "stdout" ? "O" : "E"}`;
    this.#now = options.now;
  }

  push(bytes: Buffer, endsWrite: boolean): Buffer {
    this.#stampTime(this.#now());
    const output = builder.begin(2 * bytes.length + HEADER_BYTES);
    let at = 0;
    while (at < bytes.length) {
      const lineFeed = bytes.indexOf(LINE_FEED, at);
      const end = lineFeed === -1 ? bytes.length : lineFeed;
      if (lineFeed !== -1 && this.#pendingBytes === 0 && end - at <= MAX_ENTRY_BYTES) {
        this.#appendHeader(output);
        output.append(bytes, at, end + 1);
      } else {
        this.#hold(output, bytes, at, end);
        if (lineFeed !== -1) this.#release(output, this.#pendingBytes);
      }
      if (lineFeed !== -1) this.#continues = false;
      at = end + 1;
    }
    if (endsWrite) this.#releaseCarriageReturn(output);
    return output.finish();
  }

  end(): Buffer {
    const output = builder.begin(this.#pendingBytes + HEADER_BYTES);
    if (this.#pendingBytes > 0) this.#release(output, this.#pendingBytes);
    return output.finish();
  }

  #hold(output: ByteBuilder, bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (end - at > MAX_ENTRY_BYTES - this.#pendingBytes) {
      const cut = at + MAX_ENTRY_BYTES - this.#pendingBytes;
      this.#appendPending(bytes, at, cut);
      const kept = isContinuation(bytes[cut] as number) ? this.#openCharacterBytes() : 0;
      this.#releaseAllBut(output, kept);
      at = cut;
    }
    if (end > at) this.#appendPending(bytes, at, end);
  }

  /** Bytes of a character at the end of what waits that goes on behind it. */
  #openCharacterBytes(): number {
    const end = HEADER_BYTES + this.#pendingBytes;
    for (let count = 1; count <= 3; count += 1) {
      const byte = this.#pending[end - count] as number;
      if (!isContinuation(byte)) return byte >= 0xc0 ? count : 0;
    }
    return 0;
  }

  #appendPending(bytes: Buffer, start: number, end: number): void {
    if (this.#pendingBytes === 0) {
      this.#header.copy(this.#pending);
      this.#pending[MARK_INDEX] = this.#continues ? CONTINUATION_MARK : NEW_LINE_MARK;
    }
    bytes.copy(this.#pending, HEADER_BYTES + this.#pendingBytes, start, end);
    this.#pendingBytes += end - start;
  }

  #releaseCarriageReturn(output: ByteBuilder): void {
    if (this.#pendingBytes === 0) return;
    const end = HEADER_BYTES + this.#pendingBytes;
    const last = this.#pending.subarray(0, end).lastIndexOf(CARRIAGE_RETURN);
    if (last >= HEADER_BYTES) this.#releaseAllBut(output, end - last - 1);
  }

  #releaseAllBut(output: ByteBuilder, kept: number): void {
    const end = HEADER_BYTES + this.#pendingBytes;
    const rest = Buffer.from(this.#pending.subarray(end - kept, end));
    this.#release(output, this.#pendingBytes - kept);
    if (kept > 0) this.#appendPending(rest, 0, kept);
  }

  /** Writes the first bytes of what waits as one entry, and forgets the rest. */
  #release(output: ByteBuilder, count: number): void {
    output.append(this.#pending, 0, HEADER_BYTES + count);
    output.appendByte(LINE_FEED);
    this.#pendingBytes = 0;
    this.#continues = true;
  }

  #appendHeader(output: ByteBuilder): void {
    this.#header[MARK_INDEX] = this.#continues ? CONTINUATION_MARK : NEW_LINE_MARK;
    output.append(this.#header, 0, HEADER_BYTES);
  }

  #stampTime(timeMs: number): void {
    if (timeMs === this.#headerTime) return;
    const micros = Math.floor((timeMs - Math.floor(timeMs)) * 1000);
    const time = new Date(Math.floor(timeMs)).toISOString().slice(0, -1);
    this.#header = Buffer.from(`${time}${String(micros).padStart(3, "0")}Z ${this.#stream} `, "latin1");
    this.#headerTime = timeMs;
  }
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
