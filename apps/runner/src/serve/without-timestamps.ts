const PREFIX_LENGTH = 32;
const PREFIX = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [0-9a-f]{2}[OE][ +]$/;

/**
 * Takes the times out of a log that runners write in front of each line, and joins lines that they cut for it. A log without
 * times stays as it is.
 *
 * @see coordinator-protocol 13.5
 */
export class WithoutTimestamps {
  /** Beginning of a line that is too short to be told. */
  #start = "";
  #isInLine = false;
  #endsInReturn = false;
  /** A line feed that belongs to the log only if the next line does not continue the one before it. */
  #heldLineFeed = false;

  add(bytes: Uint8Array): Uint8Array {
    // Each byte is one character, so that characters which arrive in two parts stay whole.
    const text = this.#start + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    this.#start = "";
    let result = "";
    for (let at = 0; at < text.length;) {
      const lineFeed = text.indexOf("\n", at);
      const end = lineFeed === -1 ? text.length : lineFeed;
      const piece = text.slice(at, end);
      if (!this.#isInLine && lineFeed === -1 && piece.length < PREFIX_LENGTH) {
        this.#start = piece;
        break;
      }
      result += this.#isInLine ? piece : this.#begin(piece);
      const endsInReturn = piece === "" ? this.#isInLine && this.#endsInReturn : piece.endsWith("\r");
      this.#endsInReturn = endsInReturn;
      this.#isInLine = lineFeed === -1;
      if (lineFeed !== -1) {
        // Only a line that returns to its own start is continued by the next one.
        this.#heldLineFeed = endsInReturn;
        if (!this.#heldLineFeed) result += "\n";
      }
      at = end + 1;
    }
    return Buffer.from(result, "latin1");
  }

  #begin(piece: string): string {
    const prefix = piece.slice(0, PREFIX_LENGTH);
    const isStamped = PREFIX.test(prefix);
    const lineFeed = this.#heldLineFeed && !(isStamped && prefix.endsWith("+")) ? "\n" : "";
    this.#heldLineFeed = false;
    return lineFeed + (isStamped ? piece.slice(PREFIX_LENGTH) : piece);
  }
}
