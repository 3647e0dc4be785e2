/** One step between a writer and the trace. */
export interface ByteFilter {
  /**
   * Takes bytes and gives those that are decided; may hold back the rest, and may give the very buffer that it took. What it gives is
   * valid until any filter of its kind takes bytes again.
   *
   * @param endsWrite - whether the writer's own write ends here; a large one is cut into several pieces
   */
  push(bytes: Buffer, endsWrite: boolean): Buffer;
  /** Gives all that was held back. Nothing is pushed afterwards. */
  end(): Buffer;
}

export const MASK: Buffer = Buffer.from("[MASKED]");

export const NOTHING: Buffer = Buffer.alloc(0);
