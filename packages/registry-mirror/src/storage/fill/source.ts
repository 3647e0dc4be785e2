/** Where the bytes of a blob come from. */
export interface BlobSource {
  /** Names it in errors. */
  readonly id: string;
  /** Where the bytes that came so far are from, for figures. */
  readonly origin: "shared-store" | "upstream";
  /**
   * Opens the blob.
   *
   * @param offset - where to go on; a source may begin at 0 all the same
   * @param ownWait - to be wrapped around waits for the mirror itself, which do not count as the source's silence
   */
  open(offset: number, signal: AbortSignal, ownWait: OwnWait): Promise<OpenedSource>;
}

export type OwnWait = <Result>(wait: Promise<Result>) => Promise<Result>;

export interface OpenedSource {
  readonly offset: number;
  /** Length of the whole blob, when it is told. */
  readonly totalBytes: number | undefined;
  /** Gives the bytes in order; settles at their end. */
  read(take: TakeChunk): Promise<void>;
  discard(): void;
}

/**
 * Gets a chunk, whose memory may be used for something else as soon as the call returns.
 *
 * @returns a promise when no more is wanted until it settles
 */
export type TakeChunk = (chunk: Uint8Array) => Promise<void> | undefined;

/** Gives the chunks of an iterable. */
export async function takeEach(chunks: AsyncIterable<Uint8Array>, take: TakeChunk): Promise<void> {
  for await (const chunk of chunks) await take(chunk);
}
