import type { RepositoryAccess } from "./repository-url.ts";

/** Name, in the job's temporary directory, of the settings that must not outlive the job. */
export const SIDE_CONFIG = ".gitlab-runner.ext.conf";

/** What a fresh working copy starts with. It only refers to the side configuration, so no token is stored in it. */
export function templateConfig(access: RepositoryAccess, sideConfigPath: string): string {
  return [
    section("init", undefined, { defaultBranch: "none" }),
    section("fetch", undefined, { recurseSubmodules: "false" }),
    section("credential", undefined, { interactive: "never" }),
    section("gc", undefined, { autoDetach: "false" }),
    section("remote", "origin", { url: access.remote, fetch: "+refs/heads/*:refs/remotes/origin/*" }),
    section("include", undefined, { path: sideConfigPath }),
  ].join("");
}

/** Whether a working copy's own settings already have the address and the reference to the side configuration. */
export function isUpToDate(config: string, access: RepositoryAccess, sideConfigPath: string): boolean {
  const lines = new Set(config.split("\n").map((line) => line.trim()));
  return (
    (lines.has(`url = ${value(access.remote)}`) || lines.has(`url = ${access.remote}`)) &&
    (lines.has(`path = ${value(sideConfigPath)}`) || lines.has(`path = ${sideConfigPath}`))
  );
}

export interface SideConfigOptions {
  readonly access: RepositoryAccess;
  /** Ties the requests of git to the job in the server's logs. */
  readonly correlationId: string;
  /** Whether git gets its token from a helper that reads `CI_JOB_TOKEN`. */
  readonly credentialHelper: boolean;
  /** Paths of the instance's certificates. */
  readonly tls: {
    readonly authority?: string | undefined;
    readonly certificate?: string | undefined;
    readonly key?: string | undefined;
  };
  /** Scheme and host of the instance. */
  readonly instance: string | undefined;
}

/** The settings that end with the job: how to get in. */
export function sideConfig({ access, correlationId, credentialHelper, tls, instance }: SideConfigOptions): string {
  const certificates: Record<string, string> = {};
  if (tls.authority !== undefined) certificates["sslCAInfo"] = tls.authority;
  if (tls.certificate !== undefined) certificates["sslCert"] = tls.certificate;
  if (tls.key !== undefined) certificates["sslKey"] = tls.key;
  return [
    section("http", undefined, { extraHeader: `X-Gitaly-Correlation-ID: ${correlationId}` }),
    section("transfer", undefined, { bundleURI: "true" }),
    ...(instance !== undefined && Object.keys(certificates).length > 0
      ? [section("http", instance, certificates)]
      : []),
    ...(credentialHelper && access.credentialScope !== undefined
      ? [section("credential", access.credentialScope, { username: "gitlab-ci-token", helper: TOKEN_HELPER })]
      : []),
    ...access.rewrites.map(({ from, to }) => section("url", to, { insteadOf: from })),
  ].join("");
}

const TOKEN_HELPER = `!f() { test "$1" = get && printf 'password=%s\\n' "$CI_JOB_TOKEN"; }; f`;

function section(name: string, subsection: string | undefined, values: Readonly<Record<string, string>>): string {
  const heading = subsection === undefined ? name : `${name} "${subsection.replace(/["\\]/g, "\\$&")}"`;
  const lines = Object.entries(values).map(([key, text]) => `\t${key} = ${value(text)}\n`);
  return `[${heading}]\n${lines.join("")}`;
}

/** @see https://git-scm.com/docs/git-config#_syntax */
function value(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
