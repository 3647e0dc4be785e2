import type { Readable, Writable } from "node:stream";

/** Carries what a process prints to where it belongs, no faster than that takes it. */
export interface OutputPump {
  /** Resolves when everything is written; rejects with the error of the destination. */
  readonly done: Promise<void>;
  /** Grows with every chunk that was written. */
  readonly chunks: number;
  /** Whether a chunk waits for the destination. */
  readonly writing: boolean;
  /** Reads no further; `done` resolves when the current chunk is written. */
  stop(): void;
}

/**
 * Starts to carry. The destination is not ended.
 *
 * Each chunk waits until the one before has been taken in full, so a slow destination slows the process down, through its
 * pipe, and nothing piles up here.
 */
export function startPump(source: Readable, destination: Writable): OutputPump {
  let chunks = 0;
  let writing = false;
  let stopped = false;

  const carry = async (): Promise<void> => {
    try {
      for await (const chunk of source) {
        writing = true;
        await write(destination, chunk as Buffer);
        writing = false;
        chunks++;
        if (stopped) break;
      }
    } catch (error) {
      // Stopping destroys the source, which the loop reports as a premature end.
      if (!(stopped && !writing)) throw error;
    }
  };

  return {
    done: carry(),
    get chunks() {
      return chunks;
    },
    get writing() {
      return writing;
    },
    stop: () => {
      stopped = true;
      if (!writing) source.destroy();
    },
  };
}

function write(destination: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    destination.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
