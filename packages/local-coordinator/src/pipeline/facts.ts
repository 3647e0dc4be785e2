/** Where the configuration lies unless a project says otherwise. */
export const DEFAULT_CONFIG_PATH = ".gitlab-ci.yml";

/** The project that a pipeline belongs to. */
export interface ProjectFacts {
  readonly id: number;
  /** Path with its namespace, for example `group/subgroup/project`. */
  readonly fullPath: string;
  /** Human name. @default the last part of `fullPath` */
  readonly title?: string;
  /** @default "main" */
  readonly defaultBranch?: string;
  readonly description?: string;
  /** @default "private" */
  readonly visibility?: "private" | "internal" | "public";
  /** Commits to fetch when no `GIT_DEPTH` is set; 0 fetches all. @default 20 */
  readonly gitDepth?: number;
  /** @default ".gitlab-ci.yml" */
  readonly configPath?: string;
  readonly registry?: {
    /** For example `registry.example.org:5000`. */
    readonly host: string;
    readonly user: string;
    readonly password: string;
  };
}

/** The commit that a pipeline builds. */
export interface CommitFacts {
  /** At least 8 characters. */
  readonly sha: string;
  /** Branch or tag name, without `refs/`. */
  readonly ref: string;
  /** @default "branch" */
  readonly refType?: "branch" | "tag";
  /** @default forty zeros */
  readonly beforeSha?: string;
  /** Whole message; its first line is the title. @default "" */
  readonly message?: string;
  /** ISO 8601. */
  readonly timestamp?: string;
  /** `Name <mail>`. */
  readonly author?: string;
  /** @default "sha1" */
  readonly objectFormat?: "sha1" | "sha256";
  /** Whether the branch or tag is protected. @default false */
  readonly protected?: boolean;
  /** Further refspecs to fetch, for a commit that no branch or tag holds. */
  readonly refspecs?: readonly string[];
}

export interface UserFacts {
  readonly id: number;
  readonly login: string;
  readonly name: string;
  readonly email: string;
}

/** Makes the pipeline one of a merge request: `CI_MERGE_REQUEST_*` are set and `CI_COMMIT_BRANCH` is not. */
export interface MergeRequestFacts {
  readonly id: number;
  readonly iid: number;
  readonly sourceBranch: string;
  /** @default the project's default branch */
  readonly targetBranch?: string;
  readonly title?: string;
  readonly diffBaseSha?: string;
  readonly labels?: readonly string[];
}

/** A variable from outside the configuration: of the project, or given on a command line. */
export interface GivenVariable {
  readonly key: string;
  readonly value: string;
  /** The value goes into a file and the variable holds its path. @default false */
  readonly file?: boolean;
  /** @default false */
  readonly masked?: boolean;
  /** `$NAME` in the value stays as it is. @default false */
  readonly raw?: boolean;
  /** Only given to pipelines of protected refs. @default false */
  readonly protected?: boolean;
}
