/** One file of a form, its content to be read once and to the end. */
export interface FilePart {
  readonly fileName: string;
  readonly content: AsyncIterable<Uint8Array>;
}

/** The body is not a complete form; `message` says where it breaks off. */
export class MultipartError extends Error {
  override readonly name = "MultipartError";
}

/**
 * Finds the file of one field in a `multipart/form-data` body. Nothing is held in memory but the piece that is read.
 *
 * @param body - to be closed by the caller, also when not everything was read
 * @param contentType - value of the request's `Content-Type`
 * @returns undefined when the form has no file in that field
 * @throws {MultipartError} not such a form, or it ends too early; also while `content` is read
 * @see https://www.rfc-editor.org/rfc/rfc7578, https://www.rfc-editor.org/rfc/rfc2046#section-5.1
 */
export async function findFilePart(
  body: AsyncIterator<Uint8Array>,
  contentType: string,
  field: string,
): Promise<FilePart | undefined> {
  const input = createInput(body, `--${boundaryOf(contentType)}`);
  await input.skipPreamble();
  while (await input.atPart()) {
    const headers = await input.readHeaders();
    if (headers.get("name") === field && headers.has("filename")) {
      return { fileName: headers.get("filename") ?? "", content: input.contentToTheEnd() };
    }
    await drain(input.content());
  }
  return undefined;
}

function boundaryOf(contentType: string): string {
  const match = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined || boundary.length > maxBoundaryLength) throw new MultipartError("no usable boundary");
  return boundary;
}

interface Input {
  /** Goes behind the first delimiter. */
  skipPreamble(): Promise<void>;
  /** Behind a delimiter: whether another part follows. */
  atPart(): Promise<boolean>;
  readHeaders(): Promise<ReadonlyMap<string, string>>;
  /** Content up to the next delimiter, which is then behind. */
  content(): AsyncIterable<Uint8Array>;
  /** The same, and the rest of the form as well. */
  contentToTheEnd(): AsyncIterable<Uint8Array>;
}

function createInput(source: AsyncIterator<Uint8Array>, dashBoundary: string): Input {
  const delimiter = Buffer.from(`\r\n${dashBoundary}`, "latin1");
  // A line end before the first delimiter makes it like all others.
  let buffer: Buffer = Buffer.from("\r\n");

  const more = async (where: string): Promise<void> => {
    const { done, value } = await source.next();
    if (done === true) throw new MultipartError(`form ends ${where}`);
    buffer =
      buffer.length === 0 ? Buffer.from(value.buffer, value.byteOffset, value.length) : Buffer.concat([buffer, value]);
  };
  const readThrough = async (end: Buffer | string, maxBytes: number, where: string): Promise<Buffer> => {
    for (;;) {
      const at = buffer.indexOf(end);
      if (at >= 0) {
        const found = buffer.subarray(0, at);
        buffer = buffer.subarray(at + Buffer.byteLength(end));
        return found;
      }
      if (buffer.length > maxBytes) throw new MultipartError(`too long ${where}`);
      await more(where);
    }
  };
  async function* content(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = buffer.indexOf(delimiter);
      const ready = at >= 0 ? at : buffer.length - delimiter.length + 1;
      if (ready > 0) {
        const piece = buffer.subarray(0, ready);
        buffer = buffer.subarray(ready);
        yield piece;
      }
      if (at >= 0) {
        buffer = buffer.subarray(delimiter.length);
        return;
      }
      await more("inside a part");
    }
  }
  const atPart = async (): Promise<boolean> => {
    while (buffer.length < 2) await more("behind a boundary");
    if (buffer.subarray(0, 2).toString("latin1") === "--") return false;
    await readThrough("\r\n", maxHeaderBytes, "behind a boundary");
    return true;
  };

  return {
    skipPreamble: async () => {
      await readThrough(delimiter, maxHeaderBytes, "before the first part");
    },
    atPart,
    readHeaders: async () =>
      parseDisposition((await readThrough("\r\n\r\n", maxHeaderBytes, "in a header")).toString("utf8")),
    content,
    contentToTheEnd: async function* () {
      yield* content();
      // A form without its closing delimiter is one that was cut off.
      while (await atPart()) {
        await readThrough("\r\n\r\n", maxHeaderBytes, "in a header");
        await drain(content());
      }
    },
  };
}

function parseDisposition(headers: string): ReadonlyMap<string, string> {
  const line = /^content-disposition:(.*)$/im.exec(headers)?.[1] ?? "";
  return new Map(
    [...line.matchAll(/;\s*([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/gi)].map(([, name = "", quoted, bare = ""]) => [
      name.toLowerCase(),
      quoted === undefined ? bare : quoted.replaceAll(/\\(.)/g, "$1").replaceAll("%22", '"'),
    ]),
  );
}

async function drain(content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of content);
}

const maxHeaderBytes = 16 * 1024;
const maxBoundaryLength = 200;
