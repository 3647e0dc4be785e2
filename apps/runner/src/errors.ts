/** Something that the user can mend: a wrong option, a missing file, a refused token. Printed without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** What to do about it, a sentence. */
  readonly cure: string | undefined;

  constructor(message: string, options: { readonly cure?: string; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.cure = options.cure;
  }
}
