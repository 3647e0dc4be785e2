import { Writable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";

import type { FilterChain } from "./filters/filter-chain.ts";

/** A larger write is filtered in pieces of this size. */
const PIECE_BYTES = 64 * 1024;

/** Where the filtered bytes of all streams go. */
export interface TraceSink {
  /** Whether everything further is dropped, so that filtering it is of no use. */
  readonly isFull: boolean;
  append(bytes: Buffer): void;
  /** Called with the bytes that a writer gave; resolves when it may give more, undefined when at once. */
  pace(bytes: number): Promise<void> | undefined;
}

/** Makes the writable end of one stream of a trace. */
export function createTraceStream(chain: FilterChain, sink: TraceSink): Writable {
  const stream = new Writable({
    highWaterMark: PIECE_BYTES,
    write(chunk: Buffer, _encoding, done) {
      if (chunk.length > PIECE_BYTES) {
        settle(pushPieces(chunk), done);
        return;
      }
      push(chunk, true);
      const pause = sink.pace(chunk.length);
      if (pause === undefined) done();
      else settle(pause, done);
    },
    final(done) {
      if (!sink.isFull) sink.append(chain.end());
      done();
    },
  });
  // Output that comes after the end, for instance of a service that is still stopping, is dropped like output behind
  // the limit; without a listener it would end the process.
  stream.on("error", () => stream.destroy());
  return stream;

  function push(piece: Buffer, endsWrite: boolean): void {
    if (!sink.isFull) sink.append(chain.push(piece, endsWrite));
  }

  async function pushPieces(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      const piece = chunk.subarray(at, at + PIECE_BYTES);
      push(piece, at + PIECE_BYTES >= chunk.length);
      await sink.pace(piece.length);
    }
  }
}

/** Lets the event loop do other work after so many bytes, and holds writers up while the disk is behind. */
export class Pace {
  readonly #relieve: () => Promise<void> | undefined;
  #sinceTurn = 0;

  /** @param relieve - resolves when the disk has caught up, undefined when it has already */
  constructor(relieve: () => Promise<void> | undefined) {
    this.#relieve = relieve;
  }

  take(bytes: number): Promise<void> | undefined {
    const relieved = this.#relieve();
    this.#sinceTurn += bytes;
    if (relieved === undefined && this.#sinceTurn < BYTES_PER_TURN) return undefined;
    this.#sinceTurn = 0;
    return relieved ?? turn();
  }
}

/** About two milliseconds of filtering. */
const BYTES_PER_TURN = 4 * PIECE_BYTES;

function settle(work: Promise<void>, done: (error?: Error) => void): void {
  work.then(() => done(), done);
}
