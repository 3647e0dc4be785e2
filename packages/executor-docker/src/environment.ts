import type { JobBelongings } from "./container/cleanup.ts";
import type { DockerEnvironment, DockerWorkspace } from "./types.ts";

export interface EnvironmentParts {
  readonly belongings: JobBelongings;
  readonly run: DockerEnvironment["run"];
  readonly description: string;
  readonly networkName: string | undefined;
  readonly workspace: DockerWorkspace;
  readonly removeFromHost: () => Promise<void>;
}

/** What a job runner gets: a container for the scripts, and the workspace beside it. */
export function createDockerEnvironment(parts: EnvironmentParts): DockerEnvironment {
  const { belongings } = parts;
  return {
    workspace: parts.workspace,
    variables: {
      CI_DISPOSABLE_ENVIRONMENT: "true",
      ...(parts.networkName === undefined ? {} : { CI_BUILD_NETWORK_NAME: parts.networkName }),
    },
    description: parts.description,
    run: parts.run,
    cleanup: async ({ signal }) => {
      // The containers first: they may still have the directories mounted.
      const results = [
        ...(await Promise.allSettled([belongings.remove(signal)])),
        ...(await Promise.allSettled([parts.removeFromHost()])),
      ];
      const failure = results.find((result) => result.status === "rejected");
      if (failure !== undefined) throw failure.reason;
    },
  };
}
