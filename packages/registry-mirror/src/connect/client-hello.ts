/** What the beginning of a connection is. */
export type HelloState =
  /** `neededBytes` of the connection must be there before it is worth looking again. */
  | { readonly kind: "incomplete"; readonly neededBytes: number }
  /** Not the beginning of TLS. */
  | { readonly kind: "invalid" }
  /** `serverName` in lower case; undefined when the client names none, as for addresses. */
  | { readonly kind: "complete"; readonly serverName: string | undefined };

/** Collects what a client sends until its first message is there, however small the pieces are. */
export class HelloCollector {
  #chunks: Buffer[] = [];
  #length = 0;
  #neededBytes = 1;

  add(chunk: Buffer): HelloState {
    this.#chunks.push(chunk);
    this.#length += chunk.byteLength;
    if (this.#length < this.#neededBytes) return { kind: "incomplete", neededBytes: this.#neededBytes };
    const state = readClientHello(this.bytes);
    if (state.kind === "incomplete") this.#neededBytes = state.neededBytes;
    return state;
  }

  /** Everything that has come. */
  get bytes(): Buffer {
    const [first, ...others] = this.#chunks;
    if (first !== undefined && others.length === 0) return first;
    const bytes = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [bytes];
    return bytes;
  }
}

/**
 * Reads the first message of a TLS client, which may be spread over several records, as far as it has arrived.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
 */
export function readClientHello(bytes: Buffer): HelloState {
  const fragments: Buffer[] = [];
  let gathered = 0;
  let messageLength: number | undefined;
  for (let at = 0; ;) {
    if (messageLength === undefined && gathered >= 4) {
      messageLength = 4 + Buffer.concat(fragments).readUIntBE(1, 3);
      if (messageLength > 4 + maxHelloBytes) return invalid;
    }
    if (messageLength !== undefined && gathered >= messageLength) {
      return readHello(Buffer.concat(fragments).subarray(4, messageLength));
    }
    if (fragments.length === maxRecords) return invalid;
    const header = bytes.subarray(at, at + 5);
    if ((header[0] ?? handshake) !== handshake || (header[1] ?? 3) !== 3) return invalid;
    if (header.byteLength < 5) return { kind: "incomplete", neededBytes: at + 5 };
    const recordLength = header.readUInt16BE(3);
    if (recordLength === 0 || recordLength > maxRecordBytes) return invalid;
    const fragment = bytes.subarray(at + 5, at + 5 + recordLength);
    if (fragment.byteLength > 0 && fragments.length === 0 && fragment[0] !== clientHello) return invalid;
    if (fragment.byteLength < recordLength) return { kind: "incomplete", neededBytes: at + 5 + recordLength };
    fragments.push(fragment);
    gathered += recordLength;
    at += 5 + recordLength;
  }
}

/** A fatal alert, to be sent before any other message of the server. @see https://www.rfc-editor.org/rfc/rfc6066#section-3 */
export const unrecognizedNameAlert: Buffer = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70]);

function readHello(hello: Buffer): HelloState {
  try {
    const reader = new Reader(hello);
    reader.skip(2 + 32);
    reader.vector(1);
    reader.vector(2);
    reader.vector(1);
    if (reader.isAtEnd) return { kind: "complete", serverName: undefined };
    const extensions = new Reader(reader.vector(2));
    while (!extensions.isAtEnd) {
      const type = extensions.number(2);
      const content = extensions.vector(2);
      if (type === serverNameExtension) return { kind: "complete", serverName: readServerName(content) };
    }
    return { kind: "complete", serverName: undefined };
  } catch (error) {
    if (error instanceof RangeError) return invalid;
    throw error;
  }
}

function readServerName(content: Buffer): string {
  const names = new Reader(new Reader(content).vector(2));
  names.skip(1);
  return names.vector(2).toString("latin1").toLowerCase().replace(/\.$/, "");
}

/** Throws a RangeError for what reaches beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  skip(count: number): void {
    this.#take(count);
  }

  number(width: 1 | 2): number {
    return this.#take(width).readUIntBE(0, width);
  }

  /** Bytes behind a length of so many bytes. */
  vector(width: 1 | 2): Buffer {
    return this.#take(this.number(width));
  }

  #take(count: number): Buffer {
    if (this.#at + count > this.#bytes.byteLength) throw new RangeError("the message is too short");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}

const handshake = 22;
const clientHello = 1;
const serverNameExtension = 0;
/** With a post-quantum key share and a ticket it has about 2 KB. */
const maxHelloBytes = 32 * 1024;
const maxRecordBytes = 16 * 1024;
/** Clients send one or two; a library that splits it on purpose sends a few more. */
const maxRecords = 64;
const invalid: HelloState = { kind: "invalid" };
