/**
 * Bytes on their way to a client. Whoever does not read it to its end calls `return`, also when nothing was read yet. A piece
 * is good until the next one is asked for: its memory may be used again then.
 */
export interface Body extends AsyncIterableIterator<Uint8Array, void, void> {
  return(): Promise<IteratorResult<Uint8Array, void>>;
}

/**
 * Makes a body from a function that gives the next piece.
 *
 * @param pull - resolves to `undefined` at the end
 * @param release - called once: at the end, on failure, or when the reader leaves, even before it has begun
 */
export function bodyOf(pull: () => Promise<Uint8Array | undefined>, release: () => Promise<void> | void): Body {
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    void release();
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (!isOpen) return { done: true, value: undefined };
      try {
        const value = await pull();
        if (value !== undefined && isOpen) return { done: false, value };
      } catch (error) {
        close();
        throw error;
      }
      close();
      return { done: true, value: undefined };
    },
    async return() {
      close();
      return { done: true, value: undefined };
    },
  };
}
