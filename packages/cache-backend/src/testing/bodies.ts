import type { PutBody, StoredObject } from "../store.ts";

/** A body of text or bytes. */
export function bodyOf(content: string | Uint8Array): PutBody {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return { bytes: bytes.byteLength, open: () => streamOf([bytes]) };
}

/** Reads the body of an object to its end; `undefined` when there is no object. */
export async function readBytes(object: StoredObject | undefined): Promise<Uint8Array | undefined> {
  return object === undefined ? undefined : new Uint8Array(await new Response(object.body).arrayBuffer());
}

/** Reads the body of an object as text; `undefined` when there is no object. */
export async function readText(object: StoredObject | undefined): Promise<string | undefined> {
  const bytes = await readBytes(object);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** A stream of these chunks that then ends, fails with an error, or waits for ever. */
export function streamOf(
  chunks: readonly Uint8Array[],
  end: { readonly error?: Error; readonly stalls?: boolean } = {},
): ReadableStream<Uint8Array> {
  const rest = chunks.values();
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = rest.next();
      if (next.done !== true) {
        if (next.value.byteLength > 0) controller.enqueue(next.value);
        else return this.pull?.(controller);
      } else if (end.error !== undefined) controller.error(end.error);
      else if (end.stalls === true) return new Promise<void>(() => {});
      else controller.close();
      return undefined;
    },
  });
}

/** Content of which no two parts look alike. */
export function counted(bytes: number): Uint8Array<ArrayBuffer> {
  const content = new Uint32Array(Math.ceil(bytes / 4)).map((_, index) => index);
  return new Uint8Array(content.buffer, 0, bytes);
}
