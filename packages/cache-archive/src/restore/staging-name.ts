/** What the names of staging folders begin with; no archive may bring such a name into the root. */
export const STAGING_PREFIX = ".fleetfoot-restore-";
