import { inspect } from "node:util";

const REDACTED = "[redacted]";

/**
 * Holds a token so that it cannot end up in a log, a message or a JSON file by accident: every way of printing it shows
 * `[redacted]`. Only {@link Secret.reveal} gives the text.
 */
export class Secret {
  readonly #value: string;

  static {
    Object.defineProperty(this.prototype, inspect.custom, { value: () => REDACTED });
  }

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself. Call it where it goes onto the wire, nowhere else. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }
}
