import { createArchive, extractArchive, selectFiles } from "@fleetfoot/cache-archive";

import type { CacheArchiver } from "./types.ts";

/** The real thing. */
export const realArchiver: CacheArchiver = { selectFiles, createArchive, extractArchive };
