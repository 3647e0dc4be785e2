import { stripVTControlCharacters, styleText } from "node:util";
import type { CoordinatorEvent, JobView } from "@fleetfoot/local-coordinator";
import type { Output } from "../context.ts";
import { formatDuration } from "./format.ts";
import { LogLines, type LogLine } from "./log-lines.ts";

/** Shows a pipeline while it runs: what the jobs print and, on a terminal, a last line that says what is going on. */
export interface Progress {
  show(event: CoordinatorEvent): void;
  /** Draws the last line anew, so that its times move on. */
  tick(): void;
  /** Removes the last line. */
  close(): void;
}

export interface ProgressOptions {
  readonly output: Output;
  /** Names of all jobs. */
  readonly jobNames: readonly string[];
  /** Leaves out what the jobs print. */
  readonly quiet: boolean;
  readonly now: () => number;
}

/** Stages whose lines are about the job itself; the rest is housekeeping and stays in the log file. */
const SHOWN_STAGES = /^(step_|after_script|restore_cache|archive_cache)/;
/** Headings say which stage comes next; the prefix and the state lines are enough here. */
const HEADING = "\u001B[36;1m";
const FINISHED = new Set(["success", "failed", "canceled", "skipped"]);
const PREFIX_STYLES = ["cyan", "magenta", "blue", "yellow", "green"] as const;

/** Makes the view that fits the output. */
export function createProgress(options: ProgressOptions): Progress {
  const { output, quiet, now } = options;
  const width = Math.max(0, ...options.jobNames.map((name) => name.length));
  const logs = new Map<number, LogLines>();
  const jobs = new Map<number, JobView>();
  let footerIsShown = false;

  const prefix = (job: JobView): string => {
    const style = PREFIX_STYLES[Math.max(0, options.jobNames.indexOf(job.name)) % PREFIX_STYLES.length] ?? "cyan";
    return paint(style, job.name.padEnd(width));
  };
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    output.isTerminal ? styleText(style, text, { validateStream: false }) : text;

  function eraseFooter(): void {
    if (footerIsShown) output.write("\r\u001B[2K");
    footerIsShown = false;
  }

  function drawFooter(): void {
    if (!output.isTerminal) return;
    const running = [...jobs.values()].filter((job) => job.status === "running" || job.status === "canceling");
    const done = [...jobs.values()].filter((job) => FINISHED.has(job.status) && job.retriedBy === undefined).length;
    const names = running.map((job) => `${job.name} ${formatDuration(now() - (job.startedAtMs ?? now()))}`);
    const text = `${done} of ${options.jobNames.length} done${names.length > 0 ? ` · running: ${names.join(", ")}` : ""}`;
    output.write(
      `\r\u001B[2K${styleText("dim", text.slice(0, (output.columns ?? 80) - 1), { validateStream: false })}`,
    );
    footerIsShown = true;
  }

  function printLines(job: JobView, lines: readonly LogLine[]): void {
    const shown = lines.filter(
      ({ stage, text }) =>
        isNotable(stage, text) ||
        (!quiet && stage !== undefined && SHOWN_STAGES.test(stage) && !text.startsWith(HEADING)),
    );
    if (shown.length === 0) return;
    eraseFooter();
    for (const { text } of shown)
      output.write(`${prefix(job)} | ${output.isTerminal ? text : stripVTControlCharacters(text)}\n`);
    drawFooter();
  }

  function showState(job: JobView): void {
    jobs.set(job.id, job);
    const line = stateLine(job);
    if (FINISHED.has(job.status)) printLines(job, logs.get(job.id)?.end() ?? []);
    if (line === undefined) return;
    eraseFooter();
    output.write(`${prefix(job)} ${paint(line.style, line.text)}\n`);
    drawFooter();
  }

  return {
    show(event) {
      if (event.kind === "job-state") return showState(event.job);
      if (event.kind !== "trace") return undefined;
      const job = jobs.get(event.jobId);
      if (job === undefined) return undefined;
      const lines = logs.get(job.id) ?? new LogLines();
      logs.set(job.id, lines);
      return printLines(job, lines.add(event.bytes));
    },
    tick: drawFooter,
    close: eraseFooter,
  };
}

/** Warnings and errors are shown wherever they come from, also those of the git that fetches the sources. */
function isNotable(stage: string | undefined, text: string): boolean {
  const plain = stripVTControlCharacters(text);
  return /^(WARNING|ERROR): /.test(plain) || (stage === "get_sources" && /^(fatal|error|warning): /.test(plain));
}

interface StateLine {
  readonly style: "dim" | "green" | "red" | "yellow";
  readonly text: string;
}

function stateLine(job: JobView): StateLine | undefined {
  const duration =
    job.startedAtMs === undefined || job.finishedAtMs === undefined
      ? ""
      : ` in ${formatDuration(job.finishedAtMs - job.startedAtMs)}`;
  switch (job.status) {
    case "running":
      return { style: "dim", text: "> started" };
    case "success":
      return { style: "green", text: `> passed${duration}` };
    case "failed":
      return job.allowedToFail
        ? { style: "yellow", text: `> failed${duration}, as it may${reasonOf(job)}` }
        : { style: "red", text: `> failed${duration}${reasonOf(job)}` };
    case "canceled":
      return { style: "yellow", text: `> canceled${duration}` };
    case "skipped":
      return { style: "dim", text: `> skipped${job.message === undefined ? "" : `: ${job.message}`}` };
    case "manual":
      return { style: "dim", text: "> waits to be started by hand: name it on the command line" };
    default:
      return undefined;
  }
}

function reasonOf(job: JobView): string {
  if (job.message !== undefined) return `: ${job.message}`;
  if (job.exitCode !== undefined) return `: exit code ${job.exitCode}`;
  return job.failureReason === undefined ? "" : `: ${job.failureReason}`;
}
