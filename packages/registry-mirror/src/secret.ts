import { inspect } from "node:util";

const redacted = "[redacted]";

/** Holds a password or token so that every way of printing it shows `[redacted]`. */
export class Secret {
  readonly #value: string;

  static {
    Object.defineProperty(this.prototype, inspect.custom, { value: () => redacted });
  }

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself. Call it where it goes onto the wire, nowhere else. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }
}
