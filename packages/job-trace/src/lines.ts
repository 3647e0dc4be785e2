const CLEAR_LINE = "\u001B[0K";
const RESET = "\u001B[0;m";
const BOLD_GREEN = "\u001B[32;1m";
const BOLD_CYAN = "\u001B[36;1m";
const BOLD_RED = "\u001B[31;1m";
const YELLOW = "\u001B[0;33m";

/**
 * A line of the runner without colour, newline included, as all of these.
 *
 * @see coordinator-protocol 13.4, job-execution 1.10
 */
export function plainLine(text: string): string {
  return line(CLEAR_LINE, text);
}

/** A line that says something went well, in bold green. */
export function infoLine(text: string): string {
  return line(BOLD_GREEN, text);
}

/** A line worth noticing, in bold green. */
export function noticeLine(text: string): string {
  return line(BOLD_GREEN, text);
}

/** A line in yellow that starts with `WARNING: `. */
export function warningLine(text: string): string {
  return line(YELLOW, `WARNING: ${text}`);
}

/** A line in bold red that starts with `ERROR: `. */
export function errorLine(text: string): string {
  return line(BOLD_RED, `ERROR: ${text}`);
}

/** The heading of a stage, in bold cyan; it follows the start of a section on the same line. */
export function headingLine(text: string): string {
  return line(BOLD_CYAN, text);
}

/** The echo of a command. Of one with several lines only the first is shown, with a remark. */
export function commandLine(command: string): string {
  const end = command.search(/\r?\n/u);
  const shown =
    end === -1 || command.slice(end).trim() === ""
      ? command.trimEnd()
      : `${command.slice(0, end)} # collapsed multi-line command`;
  return line(BOLD_GREEN, `$ ${shown}`);
}

function line(prefix: string, text: string): string {
  return `${prefix}${text}${RESET}\n`;
}
