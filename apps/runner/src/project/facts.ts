import type { CommitFacts, MergeRequestFacts, ProjectFacts } from "@fleetfoot/local-coordinator";
import type { PipelineOptions } from "./pipeline-options.ts";
import type { Project } from "./project.ts";

/** What the predefined variables of a local pipeline are made from. */
export interface PipelineFacts {
  readonly project: ProjectFacts;
  readonly commit: CommitFacts;
  readonly source: string;
  readonly mergeRequest?: MergeRequestFacts;
}

/** Of every project that runs locally: each has a coordinator of its own. */
export const LOCAL_PROJECT_ID = 1;
const NO_COMMIT = { sha1: "0".repeat(40), sha256: "0".repeat(64) };

/**
 * Describes the project to the coordinator.
 *
 * @param sha - the commit that the jobs fetch; until it is known, the one that is checked out stands for it
 */
export function pipelineFacts(project: Project, options: PipelineOptions, sha?: string): PipelineFacts {
  const { head, branch, tag, defaultBranch, objectFormat } = project;
  const noCommit = NO_COMMIT[objectFormat];
  const ref = tag ?? branch ?? "HEAD-snapshot";
  const isMergeRequest = options.source === "merge_request_event";
  return {
    project: { id: LOCAL_PROJECT_ID, fullPath: project.path, defaultBranch, configPath: options.file },
    commit: {
      sha: sha ?? head?.sha ?? noCommit,
      ref,
      refType: tag === undefined ? "branch" : "tag",
      beforeSha: head?.parent || noCommit,
      message: head?.message ?? "",
      objectFormat,
      protected: tag === undefined && (options.protectedBranches ?? [defaultBranch]).includes(ref),
      ...(head === undefined ? {} : { timestamp: head.timestamp, author: `${head.author} <${head.authorEmail}>` }),
    },
    source: options.source,
    ...(isMergeRequest ? { mergeRequest: { id: 1, iid: 1, sourceBranch: ref, targetBranch: defaultBranch } } : {}),
  };
}
