/** A form with one file, as a stream that can be opened again and then gives the same frame around the file. */
export interface MultipartFile {
  readonly contentType: string;
  readonly open: () => ReadableStream<Uint8Array>;
}

/**
 * @param boundary - must not occur in the file; letters, digits and dashes
 * @see https://www.rfc-editor.org/rfc/rfc7578
 */
export function multipartFile(
  boundary: string,
  fileName: string,
  open: () => ReadableStream<Uint8Array>,
): MultipartFile {
  const head = Buffer.from(
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${escaped(fileName)}"\r\n` +
      "Content-Type: application/octet-stream\r\n\r\n",
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    open: () => framed(head, open().getReader(), tail),
  };
}

function framed(
  head: Uint8Array,
  file: ReadableStreamDefaultReader<Uint8Array>,
  tail: Uint8Array,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(head);
      },
      async pull(controller) {
        const { done, value } = await file.read();
        if (!done) {
          controller.enqueue(value);
          return;
        }
        controller.enqueue(tail);
        controller.close();
      },
      cancel: (reason) => file.cancel(reason),
    },
    { highWaterMark: 1 },
  );
}

/** A quote or a line break would end the header early. */
function escaped(fileName: string): string {
  return fileName.replaceAll("\\", "\\\\").replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
