import { Readable } from "node:stream";

/**
 * A web stream as a Node stream, for a request body.
 *
 * Destroying it cancels the web stream at once, also while a read of it is open; the platform's own adapter and async
 * iteration both wait for that read first.
 */
export function readableFrom(source: ReadableStream<Uint8Array>): Readable {
  const reader = source.getReader();
  return new Readable({
    read() {
      reader.read().then(
        ({ done, value }) => this.push(done ? null : value),
        (error: unknown) => this.destroy(asError(error)),
      );
    },
    destroy(error, callback) {
      drop(reader, error);
      callback(error);
    },
  });
}

function drop(reader: ReadableStreamDefaultReader<Uint8Array>, reason: unknown): void {
  reader.cancel(reason).catch(() => {
    // The source has failed already, or does not want to be asked.
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error });
}
