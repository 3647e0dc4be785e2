import type { TraceStreamOptions } from "../types.ts";
import type { ByteFilter } from "./byte-filter.ts";
import type { PatternAutomaton } from "./pattern-automaton.ts";
import { PhraseMasker } from "./phrase-masker.ts";
import { Timestamper } from "./timestamper.ts";
import { TokenMasker } from "./token-masker.ts";
import { UrlParameterMasker } from "./url-parameter-masker.ts";
import { Utf8Repairer } from "./utf8-repairer.ts";

/** What the filters of one stream need. */
export interface FilterChainOptions extends TraceStreamOptions {
  readonly phrases: PatternAutomaton;
  readonly tokenPrefixes: PatternAutomaton;
  readonly timestamps: boolean;
  readonly now: () => number;
}

/**
 * All filters of one stream, in the order in which bytes meet them.
 *
 * @see coordinator-protocol 13.1
 */
export class FilterChain {
  readonly #phraseMasker: PhraseMasker;
  readonly #filters: readonly ByteFilter[];

  constructor(options: FilterChainOptions) {
    this.#phraseMasker = new PhraseMasker(options.phrases);
    this.#filters = [
      this.#phraseMasker,
      new UrlParameterMasker(),
      new TokenMasker(options.tokenPrefixes),
      ...(options.timestamps ? [new Timestamper(options)] : []),
      new Utf8Repairer(),
    ];
  }

  replacePhrases(phrases: PatternAutomaton): void {
    this.#phraseMasker.replacePhrases(phrases);
  }

  push(bytes: Buffer, endsWrite: boolean): Buffer {
    return this.#pass(bytes, endsWrite, 0);
  }

  /** Ends the filters one by one: what one of them held back still meets all that follow. */
  end(): Buffer {
    // What a filter gives is valid until it is asked again.
    const parts = this.#filters.map((filter, index) => Buffer.from(this.#pass(filter.end(), true, index + 1)));
    return Buffer.concat(parts);
  }

  #pass(bytes: Buffer, endsWrite: boolean, from: number): Buffer {
    let passed = bytes;
    for (const filter of this.#filters.slice(from)) {
      if (passed.length === 0 && !endsWrite) break;
      passed = filter.push(passed, endsWrite);
    }
    return passed;
  }
}
