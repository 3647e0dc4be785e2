import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/** Where the two streams of a container go. */
export interface OutputSink {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** Bytes of each stream that came so far. */
export interface OutputCount {
  stdout: number;
  stderr: number;
}

/** The engine itself reported an error inside of the stream. */
export class StreamError extends Error {
  override readonly name = "StreamError";
}

/**
 * Takes the frames of an attached container or of its logs apart and writes what is in them, as fast as it is taken.
 *
 * A frame is a header of 8 bytes (kind of stream, three zeros, length as 32 bit big-endian) and its bytes. Frames end anywhere in
 * a chunk and have any length, so nothing waits for a whole one.
 *
 * @param count - grows by what came to be written, also when it rejects
 * @param skip - bytes of each stream to leave out at the beginning
 * @param pass - what of the bytes is written
 * @throws {StreamError} a frame of the engine's own
 * @throws {unknown} what the source or a destination failed with
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export async function demultiplex(
  source: Readable,
  sink: OutputSink,
  count: OutputCount,
  skip: Readonly<OutputCount> = { stdout: 0, stderr: 0 },
  pass: (name: keyof OutputCount, bytes: Buffer) => Buffer = (_, bytes) => bytes,
): Promise<void> {
  const left: OutputCount = { ...skip };
  const header = Buffer.alloc(HEADER_BYTES);
  let headerBytes = 0;
  let kind = 0;
  let payloadLeft = 0;
  let complaint = "";

  for await (const piece of source) {
    const chunk = piece as Buffer;
    const batch = new Batch();
    let at = 0;
    while (at < chunk.length) {
      if (payloadLeft === 0) {
        const taken = chunk.copy(header, headerBytes, at, at + HEADER_BYTES - headerBytes);
        headerBytes += taken;
        at += taken;
        if (headerBytes < HEADER_BYTES) break;
        headerBytes = 0;
        kind = header[0] ?? 0;
        payloadLeft = header.readUInt32BE(4);
        continue;
      }
      const bytes = chunk.subarray(at, at + payloadLeft);
      at += bytes.length;
      payloadLeft -= bytes.length;
      if (kind === SYSTEM_ERROR) {
        complaint += bytes.toString("utf8");
        if (payloadLeft === 0) throw new StreamError(complaint.trim());
        continue;
      }
      const name = kind === STDERR ? "stderr" : "stdout";
      const skipped = Math.min(left[name], bytes.length);
      left[name] -= skipped;
      if (skipped < bytes.length) batch.add(name, bytes.subarray(skipped));
    }
    for (const { name, bytes } of batch.runs()) {
      count[name] += bytes.length;
      await write(sink[name], pass(name, bytes));
    }
  }
}

const HEADER_BYTES = 8;
const STDERR = 2;
const SYSTEM_ERROR = 3;

/** Many small frames of one stream, as one write. */
class Batch {
  readonly #runs: { readonly name: keyof OutputCount; readonly pieces: Buffer[] }[] = [];

  add(name: keyof OutputCount, bytes: Buffer): void {
    const last = this.#runs.at(-1);
    if (last?.name === name) last.pieces.push(bytes);
    else this.#runs.push({ name, pieces: [bytes] });
  }

  *runs(): Generator<{ readonly name: keyof OutputCount; readonly bytes: Buffer }> {
    for (const { name, pieces } of this.#runs) {
      const [first = Buffer.alloc(0)] = pieces;
      yield { name, bytes: pieces.length === 1 ? first : Buffer.concat(pieces) };
    }
  }
}

/** Writes as fast as it is taken. */
export async function write(destination: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return;
  if (destination.destroyed) throw destination.errored ?? new Error("the destination of the output is closed");
  if (destination.write(bytes)) return;
  await once(destination, "drain");
}
