import type { JobControl } from "../engine/control.ts";

const UNKNOWN = 0;
const ASKED = 1;
const YES = 2;
const NO = 3;
/** The wait for another participant is cut into pieces, in case that one dies. */
const PAUSE_MS = 50;

/** Answers a question once for all blocks of a long file, whichever participant comes first. */
export class FileQuestions {
  readonly #words: Int32Array;
  readonly #control: JobControl;

  /** @param words - two for each unit; the second one is used */
  constructor(words: Int32Array, control: JobControl) {
    this.#words = words;
    this.#control = control;
  }

  ask(firstUnit: number, question: () => boolean): boolean {
    const word = 2 * firstUnit + 1;
    if (Atomics.compareExchange(this.#words, word, UNKNOWN, ASKED) === UNKNOWN) {
      Atomics.store(this.#words, word, question() ? YES : NO);
      Atomics.notify(this.#words, word);
    }
    while (Atomics.load(this.#words, word) === ASKED && !this.#control.isAborted) {
      Atomics.wait(this.#words, word, ASKED, PAUSE_MS);
    }
    return Atomics.load(this.#words, word) === YES;
  }
}
