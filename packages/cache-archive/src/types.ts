import type { spawn } from "node:child_process";
import type { Writable } from "node:stream";

import type { CacheArchiveError } from "./errors.ts";

/** How an archive is written. @see cache document 3.1 */
export type ArchiveFormat = "zip" | "zipzstd" | "tarzstd";

/** Effort of the compression, by the reference's names. */
export type CompressionLevel = "fastest" | "fast" | "default" | "slow" | "slowest";

/**
 * Which machinery does the work; both give the same tree. `parallel` works on all processors with worker threads of its own, and needs
 * a file. `streaming` is archiver and unzipper: slower by far and heavier on memory (some 900 MB for 55,000 entries), for hosts without
 * worker threads and for a second opinion.
 */
export type ArchiveEngine = "parallel" | "streaming";

/** One thing to put into an archive. */
export interface ArchiveEntry {
  /**
   * Slash path relative to the root; `.` is the root itself.
   *
   * Names are bytes and need not be UTF-8: each byte that is not part of valid UTF-8 stands in this string as one lone
   * surrogate (U+DC00 plus the byte). `pathToBytes` and `pathFromBytes` convert without loss; `printablePath` is for people.
   */
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

/** What one item of `paths` or `exclude`, or git's list, came to. */
export interface ItemReport {
  readonly kind: "path" | "exclude" | "untracked";
  /** The item after expansion; empty for `untracked`. */
  readonly item: string;
  /** Visits, not entries: overlapping matches of one item count several times. For `exclude`: what it left out. */
  readonly count: number;
}

/** What {@link ArchiveEntry} lists of a selection came to. */
export interface Selection {
  /** In byte order of the paths. */
  readonly entries: readonly ArchiveEntry[];
  /** Lines for the job's log: empty items, items outside the project, malformed patterns. */
  readonly warnings: readonly string[];
  /** One for each usable item, in the order given: paths, untracked, exclude. */
  readonly reports: readonly ItemReport[];
}

/**
 * A selection that is still being found: its entries come in batches, in byte order of the paths, while whoever takes them may work on those
 * that came before. They can be taken once, and a second time is refused (`invalid-option`); whoever stops early ends the search.
 */
export interface OpenSelection extends AsyncIterable<readonly ArchiveEntry[]> {
  /** Finds the first entry, if there is one; it still comes when entries are taken. Not to be asked after that. */
  hasEntries(): Promise<boolean>;
  /** As of {@link Selection}; whole when all entries were taken. */
  readonly warnings: readonly string[];
  /** As of {@link Selection}; whole when all entries were taken. */
  readonly reports: readonly ItemReport[];
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
  /** Starts git for `untracked`. @default spawn of node:child_process */
  readonly spawn?: typeof spawn;
  readonly signal?: AbortSignal;
}

export interface CreateArchiveOptions {
  readonly root: string;
  /**
   * A list in any order; the archive has them in byte order of the paths. Or batches that come in that order, as of `openSelection`: packing begins
   * while they are still being found, and what finding them throws ends the archive like any other failure. A source of one's own should
   * stop by the same signal: an abort or a failure waits for the batch that it is about to give.
   */
  readonly entries: readonly ArchiveEntry[] | AsyncIterable<readonly ArchiveEntry[]>;
  /** Absolute path of the archive. It appears there only when it is complete; an older one stays until then. */
  readonly archivePath: string;
  /** @default "zip" */
  readonly format?: ArchiveFormat;
  /** @default "default" */
  readonly level?: CompressionLevel;
  /** Files compressed at once; at least 1. The bytes are the same for every number above 1. @default the number of processors */
  readonly concurrency?: number;
  /**
   * Work that takes one thread no longer than this, by a rough estimate, is done on the calling thread in turns of a few milliseconds, since
   * starting threads would take longer. 0 keeps all of it off the calling thread.
   *
   * @default 60
   */
  readonly maxInlineMs?: number;
  /** The streaming engine writes `zipzstd` as `zip`, and compresses one file at a time. @default "parallel" */
  readonly engine?: ArchiveEngine;
  /**
   * Absolute path where a manifest of the tree is kept, best beside the archive and never in the project. Written when the archive is
   * complete; `compareTree` tells by it whether the tree has changed since. @default none is written
   */
  readonly manifestPath?: string;
  /**
   * Waited for when the archive is complete, right before it takes the place of `archivePath`: what is known of an older archive there has to
   * be forgotten before the file is another one. Nothing is replaced when it throws.
   *
   * @default nothing is to be done
   */
  readonly beforeReplace?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** For a sink that cannot seek; the streaming engine does the work. */
export interface WriteArchiveOptions extends Omit<
  CreateArchiveOptions,
  "archivePath" | "beforeReplace" | "concurrency" | "engine" | "manifestPath" | "maxInlineMs"
> {
  /** Ends with the archive; is destroyed when it fails. */
  readonly sink: Writable;
}

export interface ArchiveSummary {
  readonly entries: number;
  /** Length of the archive in bytes. */
  readonly bytes: number;
  /** Why there is no manifest although one was asked for. Everything else is done all the same. */
  readonly manifestError?: CacheArchiveError;
}

export interface RestoreSummary extends ArchiveSummary {
  /** Whether the manifest showed that everything was there already, so that nothing was touched. */
  readonly wasInPlace: boolean;
  /** Why what is left of the restore, beside the root or inside it, could not be removed. Everything is in its place all the same. */
  readonly stagingError?: CacheArchiveError;
}

/** What a tree is compared with, and what of it. */
export type CompareTreeOptions = {
  readonly root: string;
  readonly archivePath: string;
  /** As it was given to `createArchive` or `extractArchive`. */
  readonly manifestPath: string;
  /** As of `extractArchive`. @default 60 */
  readonly maxInlineMs?: number;
  readonly signal?: AbortSignal;
} & (
  | {
      /** Slash paths relative to the root, without patterns; each stands for itself and everything below it. */
      readonly paths: readonly string[];
    }
  | {
      /** What was selected, where patterns have a say. */
      readonly entries: readonly ArchiveEntry[];
    }
);

/** Whether a tree is what an archive holds; with the first difference that was met. */
export type TreeState =
  | { readonly state: "unchanged" | "unknown" }
  | {
      readonly state: "changed";
      readonly what: "added" | "removed" | "changed";
      /** Slash path relative to the root. */
      readonly path: string;
    };

export interface ExtractArchiveOptions {
  readonly archivePath: string;
  /** Absolute path of the directory to restore into; nothing is written outside it. */
  readonly root: string;
  /** Files extracted at once; at least 1. @default the number of processors */
  readonly concurrency?: number;
  /** Bytes that all files together may have when unpacked. @default 1099511627776, which is 1 TiB */
  readonly maxBytes?: number;
  /**
   * How many times the archive's own length the files may have when unpacked. The default is above what the formats
   * reach even for zeros; archives of strangers deserve less.
   *
   * @default 40000
   */
  readonly maxRatio?: number;
  /**
   * Whether setuid, setgid and sticky bits come back, too. Off, since whoever can write an archive could otherwise place
   * programs that run as somebody else.
   *
   * @default false
   */
  readonly restoreSpecialBits?: boolean;
  /**
   * Work that takes one thread no longer than this, by a rough estimate, is done on the calling thread in turns of a few milliseconds, since
   * starting threads would take longer. 0 keeps all of it off the calling thread.
   *
   * @default 60
   */
  readonly maxInlineMs?: number;
  /** @default "parallel" */
  readonly engine?: ArchiveEngine;
  /**
   * Absolute path where a manifest of the tree is kept, best beside the archive and never in the project. Where it shows that
   * everything in the archive is there already, nothing is touched; else it is written after the restore. @default none is read or written
   */
  readonly manifestPath?: string;
  readonly signal?: AbortSignal;
}

/** For a source that cannot seek. */
export interface ReadArchiveOptions extends Omit<ExtractArchiveOptions, "archivePath" | "manifestPath"> {
  readonly source: AsyncIterable<Uint8Array>;
}
