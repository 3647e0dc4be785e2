const LINE_START = "\r\u001B[0K";

/** How a log viewer shows a section. */
export interface SectionOptions {
  /**
   * Whether the section is folded at first.
   *
   * @default false
   */
  readonly collapsed?: boolean;
  /**
   * Whether the time that the section took is left out.
   *
   * @default false
   */
  readonly hideDuration?: boolean;
}

/**
 * The marker that opens a section. It has no newline: the next text follows on the same line.
 *
 * @param name - letters, digits, `_`, `.` and `-`
 * @param atMs - epoch milliseconds
 * @see coordinator-protocol 13.3
 */
export function sectionStart(name: string, atMs: number, options: SectionOptions = {}): string {
  const settings = [
    ...(options.collapsed === true ? ["collapsed=true"] : []),
    ...(options.hideDuration === true ? ["hide_duration=true"] : []),
  ];
  const suffix = settings.length === 0 ? "" : `[${settings.join(",")}]`;
  return `section_start:${toSeconds(atMs)}:${name}${suffix}${LINE_START}`;
}

/** The marker that closes a section, with no newline either. */
export function sectionEnd(name: string, atMs: number): string {
  return `section_end:${toSeconds(atMs)}:${name}${LINE_START}`;
}

/** A section around some work. */
export interface TraceSectionOptions extends SectionOptions {
  readonly name: string;
  /** Whether the coordinator understands sections; without, no marker is written. */
  readonly enabled: boolean;
  /** Takes the markers. */
  readonly write: (text: string) => void;
  /**
   * Epoch milliseconds.
   *
   * @default Date.now
   */
  readonly now?: () => number;
}

/** Does some work inside a section, which ends however the work ends. */
export async function inTraceSection<T>(options: TraceSectionOptions, work: () => Promise<T>): Promise<T> {
  const { name, enabled, write, now = Date.now } = options;
  if (!enabled) return work();
  write(sectionStart(name, now(), options));
  try {
    return await work();
  } finally {
    write(sectionEnd(name, now()));
  }
}

function toSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}
