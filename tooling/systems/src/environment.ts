/** Names to values, as `spawn` takes them. */
export type Environment = Record<string, string>;

const systemPath = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/**
 * The whole environment of a started system: nothing of the caller's gets in, since certificate bundles, proxies,
 * credentials and dot files of a home folder change what the program does.
 *
 * @param folder - the system's data folder, which is its home as well
 */
export function systemEnvironment(folder: string, extra: Environment = {}): Environment {
  return { PATH: systemPath.join(":"), HOME: folder, TMPDIR: folder, LANG: "C.UTF-8", TZ: "UTC", ...extra };
}

/** The caller's own environment: an installation needs its proxies and certificates to reach a package registry. */
export function callerEnvironment(extra: Environment = {}): Environment {
  const environment: Environment = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...extra };
}

/** Folders to look for a program in: those on the caller's PATH, then those where a daemon may be. */
export function programFolders(): readonly string[] {
  const fromPath = (process.env["PATH"] ?? "").split(":").filter((folder) => folder.startsWith("/"));
  return [...new Set([...fromPath, ...systemPath])];
}
