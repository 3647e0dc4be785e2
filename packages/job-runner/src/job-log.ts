import type { Writable } from "node:stream";

import {
  errorLine,
  headingLine,
  infoLine,
  noticeLine,
  plainLine,
  sectionEnd,
  sectionStart,
  warningLine,
} from "@fleetfoot/job-trace";

import type { JobDirectories } from "./executor.ts";

/** Lines of the runner in the job's log. */
export interface JobLog {
  plain(text: string): void;
  info(text: string): void;
  notice(text: string): void;
  warning(text: string): void;
  error(text: string): void;
}

/** The log as the runner itself uses it: lines, and the markers of sections. */
export interface RunnerLog extends JobLog {
  /** Opens a section, if the coordinator understands sections, and writes its heading. */
  openStage(stage: string, heading: string): void;
  closeStage(stage: string): void;
  /** From now on, names directories of this host as scripts know them: those of the host mean nothing to the job. */
  namePathsOf(host: JobDirectories, scripts: JobDirectories): void;
  /** Resolves when every line so far is in the trace, so that what others write next comes after it. */
  flush(): Promise<void>;
}

export interface RunnerLogOptions {
  /** The runner's own stream of the trace. */
  readonly stream: Writable;
  /** Whether the coordinator understands section markers. */
  readonly sections: boolean;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

const DIRECTORIES = ["temporary", "project", "cache", "builds"] as const;

/** Writes the runner's own lines. @see job-execution 1.10 */
export function createRunnerLog({ stream, sections, now }: RunnerLogOptions): RunnerLog {
  let names: readonly (readonly [host: string, scripts: string])[] = [];
  const write = (text: string): void => {
    if (stream.writable) stream.write(named(text));
  };
  const named = (text: string): string => names.reduce((line, [host, scripts]) => line.replaceAll(host, scripts), text);
  return {
    plain: (text) => write(plainLine(text)),
    info: (text) => write(infoLine(text)),
    notice: (text) => write(noticeLine(text)),
    warning: (text) => write(warningLine(text)),
    error: (text) => write(errorLine(text)),
    openStage: (stage, heading) => write((sections ? sectionStart(stage, now()) : "") + headingLine(heading)),
    closeStage: (stage) => {
      if (sections) write(sectionEnd(stage, now()));
    },
    namePathsOf: (host, scripts) => {
      const pairs = DIRECTORIES.map((name) => [host[name], scripts[name]] as const);
      // A directory inside of another one comes before it.
      names = pairs.filter(([from, to]) => from !== to).toSorted(([one], [other]) => other.length - one.length);
    },
    flush: async () => {
      if (!stream.writable || stream.writableLength === 0) return;
      await new Promise<void>((resolve) => {
        stream.write("", () => resolve());
      });
    },
  };
}
