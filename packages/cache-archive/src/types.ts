/** How an archive is written. @see cache document 3.1 */
export type ArchiveFormat = "zip" | "zipzstd" | "tarzstd";

/** Effort of the compression, by the reference's names. */
export type CompressionLevel = "fastest" | "fast" | "default" | "slow" | "slowest";

/**
 * Which machinery does the work. `parallel` needs a seekable file and worker threads; `streaming` works on any sink and
 * source. Both give the same tree.
 */
export type ArchiveEngine = "parallel" | "streaming";

/** One thing to put into an archive. */
export interface ArchiveEntry {
  /** Slash path relative to the root, as bytes need not be UTF-8; `.` is the root itself. */
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink";
  /** Bytes of a file; 0 for the others. */
  readonly bytes: number;
  /** Permission bits with setuid, setgid and sticky, without the type. */
  readonly mode: number;
  readonly mtimeMs: number;
  readonly uid: number;
  readonly gid: number;
}

/** What {@link ArchiveEntry} lists of a selection came to. */
export interface Selection {
  /** In byte order of the paths. */
  readonly entries: readonly ArchiveEntry[];
  /** Lines for the job's log: empty items, items outside the project, malformed patterns. */
  readonly warnings: readonly string[];
}

export interface SelectOptions {
  /** Absolute path of the project directory. */
  readonly root: string;
  readonly paths: readonly string[];
  readonly exclude?: readonly string[];
  /** Adds what git does not track. @default false */
  readonly untracked?: boolean;
  /** Variables that the items may use, shell style. @default {} */
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface CreateArchiveOptions {
  readonly root: string;
  readonly entries: readonly ArchiveEntry[];
  /** Absolute path of the archive. It appears there only when it is complete; an older one stays until then. */
  readonly archivePath: string;
  /** @default "zip" */
  readonly format?: ArchiveFormat;
  /** @default "default" */
  readonly level?: CompressionLevel;
  /** Files compressed at once; at least 1. At 1 the archive is reproducible. @default the number of processors */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}

export interface ArchiveSummary {
  readonly entries: number;
  /** Length of the archive in bytes. */
  readonly bytes: number;
}

export interface ExtractArchiveOptions {
  readonly archivePath: string;
  /** Absolute path of the directory to restore into; nothing is written outside it. */
  readonly root: string;
  /** Files extracted at once; at least 1. @default the number of processors */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}
