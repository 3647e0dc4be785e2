/** One line of a job's log, ready to be shown. */
export interface LogLine {
  /** Stage of the job that printed it, for example `step_script`; undefined outside of any. */
  readonly stage: string | undefined;
  /** With its colours, without section marks and line ends. */
  readonly text: string;
}

const SECTION_MARK = /section_(start|end):\d+:([^\r[\]]+)(?:\[[^\]]*\])?\r\u001B\[0K/;
const ERASE_LINE = "\u001B[0K";
/** A longer line is shown in pieces: a job may print megabytes without a line end. In UTF-16 units. */
const LONGEST_LINE = 64 * 1024;

/** Cuts the bytes of one job's log into lines, also where they arrive cut in the middle of a line or a character. */
export class LogLines {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #stage: string | undefined;

  /** Lines that the bytes complete. */
  add(bytes: Uint8Array): readonly LogLine[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#rest.split("\n");
    const rest = lines.pop() ?? "";
    const isTooLong = rest.length > LONGEST_LINE;
    this.#rest = isTooLong ? "" : rest;
    if (isTooLong) lines.push(rest);
    return lines.flatMap((line) => this.#read(line));
  }

  /** What is left when the log has ended. */
  end(): readonly LogLine[] {
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? [] : this.#read(rest);
  }

  #read(line: string): readonly LogLine[] {
    let text = line;
    for (let mark = SECTION_MARK.exec(text); mark !== null; mark = SECTION_MARK.exec(text)) {
      this.#stage = mark[1] === "start" ? mark[2] : undefined;
      text = text.slice(0, mark.index) + text.slice(mark.index + mark[0].length);
    }
    text = lastRewrite(text.replaceAll(ERASE_LINE, ""));
    return text === "" && line !== "" ? [] : [{ stage: this.#stage, text }];
  }
}

/** A program that draws a progress bar returns to the start of the line; what it wrote last is what counts. */
function lastRewrite(text: string): string {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return line.slice(line.lastIndexOf("\r") + 1);
}
