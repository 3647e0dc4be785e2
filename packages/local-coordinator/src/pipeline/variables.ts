import type { JobVariable } from "@fleetfoot/coordinator-client";

import { DEFAULT_CONFIG_PATH } from "./facts.ts";
import type { CommitFacts, MergeRequestFacts, ProjectFacts, UserFacts } from "./facts.ts";
import { slugOf } from "./slug.ts";

export interface PipelineVariablesOptions {
  readonly project: ProjectFacts;
  readonly commit: CommitFacts;
  /** Address of the instance, without a slash at its end. @default "http://localhost" */
  readonly url?: string;
  /** `CI_PIPELINE_SOURCE`. @default "push" */
  readonly source?: string;
  readonly mergeRequest?: MergeRequestFacts;
  readonly user?: UserFacts;
  /** Pipeline name of the configuration. */
  readonly name?: string | undefined;
  /** Undefined before there is a pipeline, as while its rules are decided. */
  readonly pipelineId?: number;
  /** ISO 8601. */
  readonly createdAt?: string;
}

/**
 * The predefined variables that are the same for all jobs of a pipeline, in the order in which jobs get them. Rules of a
 * configuration are decided with these.
 *
 * @see https://docs.gitlab.com/ci/variables/predefined_variables/
 */
export function pipelineVariables(options: PipelineVariablesOptions): readonly JobVariable[] {
  const { project, commit, url = "http://localhost", source = "push", mergeRequest, user = defaultUser } = options;
  const projectUrl = `${url}/${project.fullPath}`;
  return Object.entries({
    CI: "true",
    GITLAB_CI: "true",
    ...serverVariables(url),
    ...pipelineFacts(options, source, projectUrl),
    ...projectVariables(project, projectUrl),
    ...commitVariables(commit, mergeRequest !== undefined),
    ...(mergeRequest === undefined ? {} : mergeRequestVariables(mergeRequest, project, projectUrl)),
    GITLAB_USER_ID: String(user.id),
    GITLAB_USER_LOGIN: user.login,
    GITLAB_USER_NAME: user.name,
    GITLAB_USER_EMAIL: user.email,
    ...registryVariables(project),
  }).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value, public: true, masked: false }]));
}

const defaultUser: UserFacts = { id: 1, login: "local", name: "Local User", email: "local@localhost" };

/** What is not known stays undefined and is not set. */
type Values = Readonly<Record<string, string | undefined>>;

function serverVariables(url: string): Values {
  const { protocol, hostname, port } = new URL(url);
  const scheme = protocol.slice(0, -1);
  return {
    CI_SERVER: "yes",
    CI_SERVER_URL: url,
    CI_SERVER_PROTOCOL: scheme,
    CI_SERVER_HOST: hostname,
    CI_SERVER_FQDN: port === "" ? hostname : `${hostname}:${port}`,
    CI_SERVER_PORT: port === "" ? (scheme === "https" ? "443" : "80") : port,
    CI_SERVER_NAME: "Fleetfoot",
    CI_SERVER_VERSION: "18.0.0",
    CI_SERVER_VERSION_MAJOR: "18",
    CI_SERVER_VERSION_MINOR: "0",
    CI_SERVER_VERSION_PATCH: "0",
    CI_SERVER_REVISION: "0",
    GITLAB_FEATURES: "",
    CI_API_V4_URL: `${url}/api/v4`,
    CI_API_GRAPHQL_URL: `${url}/api/graphql`,
  };
}

function pipelineFacts(options: PipelineVariablesOptions, source: string, projectUrl: string): Values {
  const { pipelineId, name, createdAt } = options;
  return {
    CI_PIPELINE_SOURCE: source,
    CI_PIPELINE_NAME: name,
    CI_PIPELINE_CREATED_AT: createdAt,
    ...(pipelineId === undefined
      ? {}
      : {
          CI_PIPELINE_ID: String(pipelineId),
          CI_PIPELINE_IID: String(pipelineId),
          CI_PIPELINE_URL: `${projectUrl}/-/pipelines/${pipelineId}`,
        }),
  };
}

function projectVariables(project: ProjectFacts, projectUrl: string): Values {
  const { fullPath, visibility = "private" } = project;
  const [name = fullPath] = fullPath.split("/").slice(-1);
  const namespace = fullPath.split("/").slice(0, -1).join("/");
  return {
    CI_PROJECT_ID: String(project.id),
    CI_PROJECT_NAME: name,
    CI_PROJECT_TITLE: project.title ?? name,
    CI_PROJECT_DESCRIPTION: project.description ?? "",
    CI_PROJECT_PATH: fullPath,
    CI_PROJECT_PATH_SLUG: slugOf(fullPath),
    CI_PROJECT_NAMESPACE: namespace,
    CI_PROJECT_NAMESPACE_SLUG: slugOf(namespace),
    CI_PROJECT_ROOT_NAMESPACE: fullPath.split("/")[0],
    CI_PROJECT_URL: projectUrl,
    CI_PROJECT_VISIBILITY: visibility,
    CI_DEFAULT_BRANCH: project.defaultBranch ?? "main",
    CI_DEFAULT_BRANCH_SLUG: slugOf(project.defaultBranch ?? "main"),
    CI_CONFIG_PATH: project.configPath ?? DEFAULT_CONFIG_PATH,
  };
}

function commitVariables(commit: CommitFacts, isMergeRequest: boolean): Values {
  const { sha, ref, refType = "branch", message = "" } = commit;
  const [title = "", ...description] = message.split("\n");
  return {
    CI_COMMIT_SHA: sha,
    CI_COMMIT_SHORT_SHA: sha.slice(0, 8),
    CI_COMMIT_BEFORE_SHA: commit.beforeSha ?? noSha,
    CI_COMMIT_REF_NAME: ref,
    CI_COMMIT_REF_SLUG: slugOf(ref),
    CI_COMMIT_BRANCH: refType === "branch" && !isMergeRequest ? ref : undefined,
    CI_COMMIT_TAG: refType === "tag" ? ref : undefined,
    CI_COMMIT_TAG_MESSAGE: refType === "tag" ? "" : undefined,
    CI_COMMIT_MESSAGE: message,
    CI_COMMIT_TITLE: title,
    CI_COMMIT_DESCRIPTION: description.join("\n").replace(/^\n+/, ""),
    CI_COMMIT_REF_PROTECTED: String(commit.protected === true),
    CI_COMMIT_TIMESTAMP: commit.timestamp,
    CI_COMMIT_AUTHOR: commit.author,
  };
}

function mergeRequestVariables(request: MergeRequestFacts, project: ProjectFacts, projectUrl: string): Values {
  const target = request.targetBranch ?? project.defaultBranch ?? "main";
  return {
    CI_MERGE_REQUEST_ID: String(request.id),
    CI_MERGE_REQUEST_IID: String(request.iid),
    CI_MERGE_REQUEST_REF_PATH: `refs/merge-requests/${request.iid}/head`,
    CI_MERGE_REQUEST_EVENT_TYPE: "detached",
    CI_MERGE_REQUEST_PROJECT_ID: String(project.id),
    CI_MERGE_REQUEST_PROJECT_PATH: project.fullPath,
    CI_MERGE_REQUEST_PROJECT_URL: projectUrl,
    CI_MERGE_REQUEST_SOURCE_PROJECT_ID: String(project.id),
    CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: project.fullPath,
    CI_MERGE_REQUEST_SOURCE_PROJECT_URL: projectUrl,
    CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: request.sourceBranch,
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: target,
    CI_MERGE_REQUEST_TITLE: request.title,
    CI_MERGE_REQUEST_DIFF_BASE_SHA: request.diffBaseSha,
    CI_MERGE_REQUEST_LABELS: request.labels?.join(","),
    CI_OPEN_MERGE_REQUESTS: `${project.fullPath}!${request.iid}`,
  };
}

function registryVariables({ registry, fullPath }: ProjectFacts): Values {
  if (registry === undefined) return {};
  return {
    CI_REGISTRY: registry.host,
    CI_REGISTRY_IMAGE: `${registry.host}/${fullPath.toLowerCase()}`,
    CI_REGISTRY_USER: registry.user,
  };
}

/** What the reference server sends when there is no commit before. */
const noSha = "0".repeat(40);
