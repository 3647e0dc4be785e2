import { DiskCalls } from "../storage/disk-calls.ts";
import type { DiskCallOptions } from "../storage/disk-calls.ts";

/** Of a disk that hangs in one call. */
export class HangingCalls extends DiskCalls {
  readonly #answer = Promise.withResolvers<void>();
  readonly #reached = Promise.withResolvers<void>();
  #left = Number.POSITIVE_INFINITY;
  #hangsBefore = true;

  /** @returns a promise that resolves when it is at that call */
  hangAt(number: number, before: boolean): Promise<void> {
    this.#left = number;
    this.#hangsBefore = before;
    return this.#reached.promise;
  }

  answer(): void {
    this.#left = Number.POSITIVE_INFINITY;
    this.#answer.resolve();
  }

  override run<Result>(call: () => Promise<Result>, options: DiskCallOptions<Result> = {}): Promise<Result> {
    this.#left -= 1;
    if (this.#left !== 0) return super.run(call, options);
    const hang = async (): Promise<void> => {
      this.#reached.resolve();
      await this.#answer.promise;
    };
    const hanging = async (): Promise<Result> => {
      if (this.#hangsBefore) await hang();
      try {
        return await call();
      } finally {
        // One that fails may be as late as any other.
        if (!this.#hangsBefore) await hang();
      }
    };
    return super.run(hanging, options);
  }
}
