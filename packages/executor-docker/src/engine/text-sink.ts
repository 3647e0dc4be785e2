import { Writable } from "node:stream";

/** Keeps the last part of what is written to it. */
export class TextSink extends Writable {
  text = "";
  readonly #mostCharacters: number;

  constructor(mostCharacters: number = 64 * 1024) {
    super({ decodeStrings: false });
    this.#mostCharacters = mostCharacters;
  }

  override _write(chunk: Buffer | string, _: string, done: () => void): void {
    this.text = (this.text + chunk.toString()).slice(-this.#mostCharacters);
    done();
  }
}
