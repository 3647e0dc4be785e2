import type { CallKind } from "../http/route.ts";
import type { RequestRecord } from "./request-record.ts";

/** One thing that goes wrong, or is arranged. */
export type Fault =
  | AnswerFault
  /** Headers added to, or replacing those of, the coordinator's answer. */
  | { readonly do: "headers"; readonly headers: Readonly<Record<string, string>> }
  /** The connection is reset, before the request is looked at or after the coordinator did its part. */
  | { readonly do: "drop"; readonly at: "before" | "after" }
  /**
   * The coordinator's answer begins, and after `afterBytes` (default 0) of its body nothing more comes; after `milliseconds`
   * (default: never) the connection is reset. An answer that cannot have a body stalls as a whole.
   */
  | { readonly do: "stall"; readonly afterBytes?: number; readonly milliseconds?: number }
  /** The request waits that long before it is looked at. */
  | { readonly do: "delay"; readonly milliseconds: number }
  /** The request waits for the promise before it is looked at. */
  | { readonly do: "hold"; readonly until: Promise<unknown> }
  /** The job that the path names is cancelled. */
  | { readonly do: "cancel"; readonly at: "before" | "after"; readonly force?: boolean }
  /** The stored log of the job that the path names loses its end, before the request is looked at. */
  | { readonly do: "truncate-trace"; readonly bytes: number }
  /** The same, keeping a share of what is stored, from 0 to 1. */
  | { readonly do: "shorten-trace"; readonly keep: number }
  /** The stored log is forgotten and the request answered 412: the runner is to send all of it again. */
  | { readonly do: "reject-trace" }
  /** Anything else. */
  | {
      readonly do: "call";
      readonly at: "before" | "after";
      readonly call: (request: RequestRecord) => Promise<void> | void;
    };

/** Another answer; with `process` the coordinator does its part all the same and only its answer is lost. */
export interface AnswerFault {
  readonly do: "answer";
  readonly status: number;
  /** A function gets the time of the answer, in epoch milliseconds. */
  readonly headers?: Readonly<Record<string, string>> | ((nowMs: number) => Readonly<Record<string, string>>);
  readonly body?: string;
  /**
   * How the body ends: `stalled` sends `body` and then nothing more, `endless` sends it again and again. The connection stays
   * open until the client goes away.
   * @default "complete"
   */
  readonly bodyEnd?: "complete" | "stalled" | "endless";
  readonly process?: boolean;
}

/** What is to happen to which requests. The first rule that fits a request decides. */
export interface FaultRule {
  /** @default all kinds */
  readonly kinds?: readonly CallKind[];
  /** Only the requests of these positions, from 1, among those of the rule's kinds since it was added. @default all */
  readonly nth?: readonly number[];
  /** A further condition; a JSON body of moderate size has been read by then. @default none */
  readonly when?: (request: RequestRecord) => boolean;
  readonly fault: Fault;
}

/** A fault that chance may choose for the requests that it suits. */
export interface RandomFault {
  /** @default all kinds */
  readonly kinds?: readonly CallKind[];
  /** A further condition. @default none */
  readonly when?: (request: RequestRecord) => boolean;
  readonly fault: Fault;
  /**
   * How many requests in a row, of the same kind for the same job, meet it at most; chance says how many do.
   * @default 1
   */
  readonly maxInRow?: number;
}

/** A word or two for reports, such as `answer 429` or `drop after`. */
export function describeFault(fault: Fault): string {
  if (fault.do === "answer") return `answer ${fault.status}${endings[fault.bodyEnd ?? "complete"]}`;
  return fault.do === "drop" ? `drop ${fault.at}` : fault.do;
}

const endings = { complete: "", stalled: " stalled", endless: " endless" };
