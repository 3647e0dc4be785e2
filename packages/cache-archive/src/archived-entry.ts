/** What an archive says about one entry, whatever its format. */
export interface ArchivedEntry extends EntryMetadata {
  /** As in the archive, not yet checked. */
  readonly name: string;
}

export interface EntryMetadata {
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly mtimeMs: number;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Bytes when unpacked. */
  readonly bytes: number;
}
