import { link, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";

/** What a local store needs of a file system, as `node:fs/promises` has it. */
export interface LocalFileSystem {
  readonly link: typeof link;
  readonly mkdir: typeof mkdir;
  readonly open: typeof open;
  readonly readdir: typeof readdir;
  readonly rename: typeof rename;
  readonly rm: typeof rm;
  readonly stat: typeof stat;
  readonly statfs: typeof statfs;
  readonly utimes: typeof utimes;
}

/** The file system of this host. */
export const hostFileSystem: LocalFileSystem = { link, mkdir, open, readdir, rename, rm, stat, statfs, utimes };
