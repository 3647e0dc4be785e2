const MARKER: unique symbol = Symbol.for("fleetfoot.runner-config.error");

/** A text that cannot be edited. Problems of a file that is only read are not thrown: they are in the result. */
export class RunnerConfigError extends Error {
  override readonly name = "RunnerConfigError";
  /** `broken-toml`: the text is not TOML. `invalid-value`: a value cannot be written. */
  readonly code: "broken-toml" | "invalid-value";
  /** Always false: the same text gives the same error. */
  readonly retryable = false;

  constructor(code: RunnerConfigError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** Recognises errors of every installed copy of this package. */
  static isInstance(value: unknown): value is RunnerConfigError {
    return value instanceof Error && MARKER in value;
  }
}
