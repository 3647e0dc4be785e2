import type { PreparedJob } from "../job-context.ts";
import { parseBoolean } from "../variables/settings.ts";
import { repositoryAccess } from "./repository-url.ts";
import type { RepositoryAccess } from "./repository-url.ts";
import { readSubmoduleSettings, words } from "./submodules.ts";
import type { SubmoduleSettings } from "./submodules.ts";

/** How a job wants its sources, beside the strategy. @see job-execution 1.8 */
export interface SourceSettings {
  readonly checkout: boolean;
  readonly cleanFlags: readonly string[];
  readonly skipClean: boolean;
  readonly hasOwnCleanFlags: boolean;
  readonly userSkipsSmudge: boolean;
  readonly submodules: SubmoduleSettings;
}

/** @throws {JobConfigurationError} a value that cannot be honoured */
export function readSourceSettings({ variables, payload }: PreparedJob): SourceSettings {
  const lookup = variables.lookupContent;
  const flags = lookup("GIT_CLEAN_FLAGS") ?? "";
  const skipClean = flags.trim() === "none";
  const cleanFlags = skipClean ? [] : words(flags === "" ? "-ffdx" : flags);
  const userSkipsSmudge = parseBoolean(lookup("GIT_LFS_SKIP_SMUDGE") ?? "") === true;
  return {
    checkout: parseBoolean(lookup("GIT_CHECKOUT") ?? "") ?? true,
    cleanFlags,
    skipClean,
    hasOwnCleanFlags: flags !== "",
    userSkipsSmudge,
    submodules: readSubmoduleSettings(lookup, { depth: payload.git_info.depth ?? 0, cleanFlags, skipClean }),
  };
}

/** Which address git is given, and how it gets in. */
export function repositoryAccessOf({ payload, runner, variables, plan }: PreparedJob): RepositoryAccess {
  return repositoryAccess({
    repositoryUrl: payload.git_info.repo_url,
    cloneUrl: runner.cloneUrl,
    projectPath: variables.lookup("CI_PROJECT_PATH"),
    jobToken: payload.token,
    withoutTokens: plan.flags.FF_GIT_URLS_WITHOUT_TOKENS,
    forceHttps: parseBoolean(variables.lookup("GIT_SUBMODULE_FORCE_HTTPS") ?? "") ?? false,
  });
}
