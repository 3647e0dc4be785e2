/** Which address git is given, and what it makes of it when it connects. */
export interface RepositoryAccess {
  /** Stored in the working copy; has no token in it. */
  readonly remote: string;
  /** `insteadOf` rules, which live in a file that ends with the job. */
  readonly rewrites: readonly UrlRewrite[];
  /** Scheme and host for which git gets credentials by HTTP; undefined for other transports. */
  readonly credentialScope: string | undefined;
}

interface UrlRewrite {
  /** Start of addresses as they are written. */
  readonly from: string;
  /** What git uses instead. */
  readonly to: string;
}

export interface RepositoryAccessOptions {
  /** As the payload has it, with user and token. */
  readonly repositoryUrl: string;
  /** Address that the operator wants instead. */
  readonly cloneUrl: string | undefined;
  /** `CI_PROJECT_PATH`. */
  readonly projectPath: string | undefined;
  readonly jobToken: string;
  /** Whether tokens come by a credential helper instead of an address. */
  readonly withoutTokens: boolean;
  /** Whether submodules by ssh are fetched by HTTPS: `GIT_SUBMODULE_FORCE_HTTPS`. */
  readonly forceHttps: boolean;
}

/** Splits an address into what may be stored and what must not. @see job-execution 1.8 */
export function repositoryAccess(options: RepositoryAccessOptions): RepositoryAccess {
  const address = parse(effectiveUrl(options));
  if (address === undefined) return { remote: options.repositoryUrl, rewrites: [], credentialScope: undefined };
  if (address.scheme === "ssh") {
    const remote = `ssh://${address.user?.split(":")[0] ?? "git"}@${address.host}${address.path}`;
    return { remote, rewrites: [], credentialScope: undefined };
  }
  if (address.scheme !== "http" && address.scheme !== "https") {
    return { remote: `${address.scheme}://${address.host}${address.path}`, rewrites: [], credentialScope: undefined };
  }
  // The slash at the end keeps the token from hosts whose name only begins the same.
  const bare = `${address.scheme}://${address.host}/`;
  const user = address.user;
  const authorised =
    user === undefined || options.withoutTokens ? bare : `${address.scheme}://${user}@${address.host}/`;
  const rewrites = authorised === bare ? [] : [{ from: bare, to: authorised }];
  if (options.forceHttps) rewrites.push(...httpsRewrites(address.host, authorised));
  return {
    remote: `${bare}${address.path.replace(/^\//, "")}`,
    rewrites,
    credentialScope: user === undefined ? undefined : bare.slice(0, -1),
  };
}

const TOKEN_USER = "gitlab-ci-token";

function effectiveUrl({ repositoryUrl, cloneUrl, projectPath, jobToken }: RepositoryAccessOptions): string {
  const base = cloneUrl === undefined || cloneUrl === "" ? undefined : parse(cloneUrl);
  if (base === undefined) return repositoryUrl;
  const project =
    projectPath ??
    parse(repositoryUrl)
      ?.path.replace(/^\//, "")
      .replace(/\.git$/, "") ??
    "";
  const user = base.scheme === "ssh" ? (base.user ?? "git") : `${TOKEN_USER}:${jobToken}`;
  return `${base.scheme}://${user}@${base.host}${base.path.replace(/\/$/, "")}/${project}.git`;
}

function httpsRewrites(host: string, to: string): UrlRewrite[] {
  const name = host.replace(/:\d+$/, "");
  return [
    { from: `git@${name}:`, to },
    { from: `ssh://git@${host}/`, to },
    ...(name === host ? [] : [{ from: `ssh://git@${name}/`, to }]),
  ];
}

interface Address {
  readonly scheme: string;
  /** User, or user and password, as they are written. */
  readonly user: string | undefined;
  /** With the port. */
  readonly host: string;
  readonly path: string;
}

/** Not WHATWG's URL, which would change how users and paths are written. */
function parse(url: string): Address | undefined {
  const [, scheme, user, host, path] = /^([a-z][a-z0-9+.-]*):\/\/(?:([^/?#]*)@)?([^/?#]*)(.*)$/i.exec(url) ?? [];
  if (scheme === undefined || host === undefined) return undefined;
  return { scheme: scheme.toLowerCase(), user: user === "" ? undefined : user, host, path: path ?? "" };
}
