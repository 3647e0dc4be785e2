import type { CallKind } from "../http/route.ts";
import type { Fault, FaultRule, RandomFault } from "./fault.ts";
import type { RequestRecord } from "./request-record.ts";

/** Faults by chance, the same ones for the same seed and order of requests. */
export interface RandomFaults {
  /** Share of requests that meet one, from 0 to 1. */
  readonly ratio: number;
  readonly seed: number;
  /** @default all kinds */
  readonly kinds?: readonly CallKind[];
  /**
   * Chosen from with equal chance among those that suit the request; `hostileFaults` has everything that a coordinator in
   * trouble does.
   * @default 429, 500, 502, a reset before and a reset after processing
   */
  readonly faults?: readonly RandomFault[];
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
  /** What is left of faults that come several times in a row. */
  const rows = new Map<string, { readonly choice: RandomFault; left: number }>();
  return (request) => {
    if (kinds?.includes(request.kind) === false) return undefined;
    const key = `${request.kind} ${request.id}`;
    const row = rows.get(key);
    if (row !== undefined && suits(row.choice, request)) {
      row.left -= 1;
      if (row.left === 0) rows.delete(key);
      return row.choice.fault;
    }
    const isHit = random() < ratio;
    const [place, length] = [random(), random()];
    if (!isHit) return undefined;
    const suitable = faults.filter((choice) => suits(choice, request));
    const choice = suitable[Math.floor(place * suitable.length)];
    if (choice === undefined) return undefined;
    const left = Math.floor(length * (choice.maxInRow ?? 1));
    if (left > 0) rows.set(key, { choice, left });
    return choice.fault;
  };
}

function suits({ kinds, when = () => true }: RandomFault, request: RequestRecord): boolean {
  return kinds?.includes(request.kind) !== false && when(request);
}

const usualFaults: readonly RandomFault[] = [
  { fault: { do: "answer", status: 429 } },
  { fault: { do: "answer", status: 500 } },
  { fault: { do: "answer", status: 502, process: true } },
  { fault: { do: "drop", at: "before" } },
  { fault: { do: "drop", at: "after" } },
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
