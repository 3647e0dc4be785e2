/** How a git ended. */
export interface GitExit {
  /** -1 when a signal ended it. */
  readonly code: number;
  /** For the log. */
  readonly text: string;
}

/**
 * Names the end of a process as job logs do, the shell executor's scripts among them.
 *
 * @param code - exit code; null when a signal ended the process
 * @see job-execution 1.5
 */
export function describeExit(code: number | null, signal: NodeJS.Signals | null): GitExit {
  if (code !== null) return { code, text: `exit status ${code}` };
  return { code: -1, text: `signal: ${signal === null ? "unknown" : (SIGNAL_TEXTS[signal] ?? signal)}` };
}

/** As strsignal(3) and Go name them. */
const SIGNAL_TEXTS: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGABRT: "aborted",
  SIGALRM: "alarm clock",
  SIGBUS: "bus error",
  SIGFPE: "floating point exception",
  SIGHUP: "hangup",
  SIGILL: "illegal instruction",
  SIGINT: "interrupt",
  SIGKILL: "killed",
  SIGPIPE: "broken pipe",
  SIGQUIT: "quit",
  SIGSEGV: "segmentation fault",
  SIGTERM: "terminated",
};
