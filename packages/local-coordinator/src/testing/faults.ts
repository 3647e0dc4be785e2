import type { CallKind } from "../http/route.ts";
import type { RequestRecord } from "./request-record.ts";

/** What is to happen to which requests. The first rule that fits a request decides. */
export interface FaultRule {
  /** @default all kinds */
  readonly kinds?: readonly CallKind[];
  /** Only the requests of these positions, from 1, among those of the rule's kinds since it was added. @default all */
  readonly nth?: readonly number[];
  /** A further condition. @default none */
  readonly when?: (request: RequestRecord) => boolean;
  readonly fault: Fault;
}

/** One thing that goes wrong, or is arranged. */
export type Fault =
  /** Another answer; with `process` the coordinator does its part all the same and only its answer is lost. */
  | {
      readonly do: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      readonly process?: boolean;
    }
  /** Headers added to, or replacing those of, the coordinator's answer. */
  | { readonly do: "headers"; readonly headers: Readonly<Record<string, string>> }
  /** The connection is reset, before the request is looked at or after the coordinator did its part. */
  | { readonly do: "drop"; readonly at: "before" | "after" }
  /** The request waits that long before it is looked at. */
  | { readonly do: "delay"; readonly milliseconds: number }
  /** The request waits for the promise before it is looked at. */
  | { readonly do: "hold"; readonly until: Promise<unknown> }
  /** The job that the path names is cancelled. */
  | { readonly do: "cancel"; readonly at: "before" | "after"; readonly force?: boolean }
  /** The stored log of the job that the path names loses its end, before the request is looked at. */
  | { readonly do: "truncate-trace"; readonly bytes: number }
  /** Anything else. */
  | {
      readonly do: "call";
      readonly at: "before" | "after";
      readonly call: (request: RequestRecord) => Promise<void> | void;
    };

/** Faults by chance, the same ones for the same seed and order of requests. */
export interface RandomFaults {
  /** Share of requests that meet one, from 0 to 1. */
  readonly ratio: number;
  readonly seed: number;
  /** @default all kinds */
  readonly kinds?: readonly CallKind[];
  /** Chosen from with equal chance. @default 429, 500, 502, a reset before and a reset after processing */
  readonly faults?: readonly Fault[];
}

/** Where a test says what goes wrong; rules can come and go while the coordinator runs. */
export interface FaultSwitches {
  /** Adds a rule; the returned function removes it. */
  add(rule: FaultRule): () => void;
  /** Adds faults by chance, for requests that no rule fits; the returned function removes them. */
  addRandom(faults: RandomFaults): () => void;
  clear(): void;
}

/** What the switches say about one request; undefined: nothing. */
export type ChooseFault = (request: RequestRecord) => Fault | undefined;

export function createFaultSwitches(): { readonly switches: FaultSwitches; readonly choose: ChooseFault } {
  const rules = new Set<ChooseFault>();
  const byChance = new Set<ChooseFault>();
  return {
    switches: {
      add: (rule) => addTo(rules, chooseByRule(rule)),
      addRandom: (faults) => addTo(byChance, chooseByChance(faults)),
      clear: () => {
        rules.clear();
        byChance.clear();
      },
    },
    choose: (request) => {
      // Every rule sees every request, as each counts for itself.
      const found = [...rules, ...byChance].map((choose) => choose(request));
      return found.find((fault) => fault !== undefined);
    },
  };
}

function addTo(choosers: Set<ChooseFault>, choose: ChooseFault): () => void {
  choosers.add(choose);
  return () => choosers.delete(choose);
}

function chooseByRule({ kinds, nth, when = () => true, fault }: FaultRule): ChooseFault {
  let seen = 0;
  return (request) => {
    if (kinds?.includes(request.kind) === false || !when(request)) return undefined;
    seen += 1;
    return nth?.includes(seen) === false ? undefined : fault;
  };
}

function chooseByChance({ ratio, seed, kinds, faults = usualFaults }: RandomFaults): ChooseFault {
  const random = seededRandom(seed);
  return (request) => {
    if (kinds?.includes(request.kind) === false) return undefined;
    const isHit = random() < ratio;
    const choice = Math.floor(random() * faults.length);
    return isHit ? faults[choice] : undefined;
  };
}

const usualFaults: readonly Fault[] = [
  { do: "answer", status: 429 },
  { do: "answer", status: 500 },
  { do: "answer", status: 502, process: true },
  { do: "drop", at: "before" },
  { do: "drop", at: "after" },
];

/** A small generator of uniform numbers in [0, 1); quality is of no matter here, repeatability is. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
