/** The system cannot be had on this machine: a right, a tool or the way to a package registry is missing. */
export class SystemUnavailableError extends Error {
  override readonly name = "SystemUnavailableError";
  /** What is missing, as one clause without a full stop. */
  readonly reason: string;

  constructor(system: string, reason: string, options?: ErrorOptions) {
    super(`${system} cannot be had on this machine: ${reason}`, options);
    this.reason = reason;
  }
}

/** The system is installed but did not come up; the message ends with the last lines of its log. */
export class SystemStartError extends Error {
  override readonly name = "SystemStartError";

  constructor(system: string, whatHappened: string, logTail: string, options?: ErrorOptions) {
    super(
      `start ${system}: ${whatHappened}\n--- end of its log ---\n${logTail.trim() || "(the log is empty)"}`,
      options,
    );
  }
}
