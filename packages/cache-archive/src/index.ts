export { CacheArchiveError } from "./errors.ts";
export type { CacheArchiveErrorCode, CacheArchiveErrorFacts } from "./errors.ts";
export { extractArchive, extractArchiveFrom } from "./extract.ts";
export { compareTree, createArchive, finishRestores, writeArchive } from "./operations.ts";
export { pathFromBytes, pathToBytes, printablePath, toFileSystemPath } from "./path-bytes.ts";
export { openSelection, selectFiles } from "./select/select.ts";
export { parseArchiveFormat, parseCompressionLevel, parseConcurrency } from "./settings.ts";
export type { ParsedSetting } from "./settings.ts";
export { expandShellWord } from "./select/shell-word.ts";
export { sniffFormat } from "./sniff.ts";
export type { SniffedFormat } from "./sniff.ts";
export type {
  ArchiveEngine,
  ArchiveEntry,
  ArchiveFormat,
  ArchiveSummary,
  CompareTreeOptions,
  CompressionLevel,
  CreateArchiveOptions,
  ExtractArchiveOptions,
  ItemReport,
  OpenSelection,
  ReadArchiveOptions,
  RestoreSummary,
  SelectOptions,
  Selection,
  TreeState,
  WriteArchiveOptions,
} from "./types.ts";
