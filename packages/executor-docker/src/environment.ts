import type { JobBelongings } from "./container/cleanup.ts";
import type { DockerEnvironment, DockerWorkspace } from "./types.ts";

export interface EnvironmentParts {
  readonly belongings: JobBelongings;
  readonly run: DockerEnvironment["run"];
  readonly description: string;
  readonly networkName: string | undefined;
  readonly workspace: DockerWorkspace;
}

/** What a job runner gets: a container for the scripts, and the workspace beside it. */
export function createDockerEnvironment(parts: EnvironmentParts): DockerEnvironment {
  return {
    workspace: parts.workspace,
    variables: {
      CI_DISPOSABLE_ENVIRONMENT: "true",
      ...(parts.networkName === undefined ? {} : { CI_BUILD_NETWORK_NAME: parts.networkName }),
    },
    description: parts.description,
    run: parts.run,
    cleanup: ({ signal }) => parts.belongings.remove(signal),
  };
}
