import type { Logger } from "../logger.ts";
import type { PatchTraceResult } from "../results.ts";
import { isRefusal } from "./refusal.ts";
import type { ReportingCalls, TraceSource } from "./types.ts";

const MAX_CHUNK_BYTES = 1024 * 1024;

/** A coordinator that keeps losing what it acknowledged would otherwise be sent the same bytes for ever. */
const MAX_MISMATCHES = 20;

/** A coordinator that refused the same bytes twice refuses them a third time. */
const MAX_REFUSALS = 2;

export interface TraceDeliveryOptions {
  readonly calls: ReportingCalls;
  readonly trace: TraceSource;
  readonly debugTrace: boolean;
  readonly acknowledgedBytes: number;
  readonly onAcknowledged: (bytes: number) => void;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
}

/**
 * Knows up to where the coordinator has the trace.
 *
 * @see coordinator-protocol 7.2, 8.2, 8.3
 */
export class TraceDelivery {
  readonly #options: TraceDeliveryOptions;
  #offset: number;
  #undeliverable = false;
  #lastMismatch = -1;
  #mismatches = 0;
  #refusals = 0;

  constructor(options: TraceDeliveryOptions) {
    this.#options = options;
    // More than there is: what an earlier process had sent was lost on this side, so the coordinator is asked what it has.
    this.#offset = options.acknowledgedBytes <= options.trace.size ? options.acknowledgedBytes : 0;
  }

  get hasUnsent(): boolean {
    return !this.#undeliverable && this.#offset < this.#options.trace.size;
  }

  /** Forgets what was sent, for a coordinator that wants the whole trace again. */
  restart(): void {
    this.#moveTo(0);
    this.#undeliverable = false;
    this.#lastMismatch = -1;
    this.#refusals = 0;
  }

  /**
   * Sends the next piece, at most 1 MiB. Must not be called when there is none, nor twice at a time.
   *
   * @returns undefined when nothing was sent, since the trace could not be read
   */
  async sendNext(): Promise<PatchTraceResult | undefined> {
    const { calls, debugTrace, signal } = this.#options;
    const offset = this.#offset;
    const bytes = await this.#read(offset);
    if (bytes.length === 0) return undefined;
    const result = await calls.patchTrace({ offset, bytes, debugTrace }, signal === undefined ? {} : { signal });
    if (result.outcome === "ok") {
      this.#moveTo(result.nextOffset);
      this.#lastMismatch = -1;
      this.#refusals = 0;
    } else if (result.outcome === "range-mismatch") {
      this.#rewind(result.nextOffset);
    }
    return result;
  }

  /**
   * Sends all that is left.
   *
   * @param pause - waits one interval; called where the coordinator named another offset
   * @param hear - is told every answer
   * @returns `abandoned` when trying again is of no use, `failed` when it may be
   */
  async sendRest(
    pause: () => Promise<void>,
    hear: (result: PatchTraceResult) => void,
  ): Promise<"sent" | "abandoned" | "failed"> {
    while (this.hasUnsent) {
      const result = await this.sendNext();
      if (result === undefined && this.hasUnsent) return "failed";
      if (result === undefined) break;
      hear(result);
      if (result.outcome === "abort" || result.outcome === "not-found") return "abandoned";
      if (result.outcome === "failed") return this.#isRefusedForGood(result.status) ? "abandoned" : "failed";
      if (result.outcome === "range-mismatch" && this.hasUnsent) await pause();
    }
    return this.#undeliverable ? "abandoned" : "sent";
  }

  async #read(offset: number): Promise<Uint8Array> {
    const { trace, logger } = this.#options;
    try {
      return await trace.read(offset, Math.min(MAX_CHUNK_BYTES, trace.size - offset));
    } catch (error) {
      // The result of the job matters more than the rest of its log.
      this.#undeliverable = true;
      logger.error("The trace cannot be read", { offset, size: trace.size, error });
      return new Uint8Array();
    }
  }

  #rewind(offset: number): void {
    this.#mismatches += 1;
    if (offset > this.#options.trace.size) {
      this.#giveUp("The coordinator claims more of the trace than there is", offset);
    } else if (offset === this.#lastMismatch) {
      this.#giveUp("The coordinator refuses the trace at the offset that it asked for", offset);
    } else if (this.#mismatches > MAX_MISMATCHES) {
      this.#giveUp("The coordinator keeps asking for other offsets of the trace", offset);
    } else {
      this.#lastMismatch = offset;
      this.#moveTo(offset);
    }
  }

  #moveTo(offset: number): void {
    this.#offset = offset;
    this.#options.onAcknowledged(offset);
  }

  #isRefusedForGood(status: number): boolean {
    if (!isRefusal(status)) return false;
    this.#refusals += 1;
    if (this.#refusals < MAX_REFUSALS) return false;
    this.#giveUp(`The coordinator refuses the trace with status ${status}`, this.#offset);
    return true;
  }

  #giveUp(message: string, offset: number): void {
    this.#undeliverable = true;
    this.#options.logger.error(message, { offset, size: this.#options.trace.size });
  }
}
