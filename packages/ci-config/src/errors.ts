const MARKER: unique symbol = Symbol.for("fleetfoot.ci-config.error");

/** Base of what this package throws. Mistakes in a configuration are not thrown: they are {@link Problem}s of the result. */
export class CiConfigError extends Error {
  override readonly name: string = "CiConfigError";
  /** Short, stable word for programs. */
  readonly code: string;
  /** Always false: the same text gives the same error. */
  readonly retryable: boolean = false;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** Recognises errors of every installed copy of this package. */
  static isInstance(value: unknown): value is CiConfigError {
    return value instanceof Error && MARKER in value;
  }
}

/** A condition such as `$A == "b"` that cannot be read. */
export class ExpressionError extends CiConfigError {
  override readonly name = "ExpressionError";
  /** The whole condition. */
  readonly expression: string;
  /** Where reading stopped, in characters from 0. */
  readonly position: number;

  constructor(expression: string, position: number, reason: string, options?: ErrorOptions) {
    super("expression", `${reason} (at character ${position + 1} of ${expression})`, options);
    this.expression = expression;
    this.position = position;
  }
}
