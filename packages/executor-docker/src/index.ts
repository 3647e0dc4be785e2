export { createDockerExecutor } from "./docker-executor.ts";
export type { EngineOptions } from "./engine/address.ts";
export { dockerodeOptions } from "./engine/dockerode-options.ts";
export {
  ContainerLostError,
  DockerConfigurationError,
  DockerExecutorError,
  EngineResponseError,
  EngineRestartedError,
  EngineUnreachableError,
  HostFilesError,
  ImagePullError,
  OutputLostError,
  ScriptNotRunError,
} from "./errors.ts";
export type { DockerFailureReason } from "./errors.ts";
export { checkDockerSettings } from "./settings/check-settings.ts";
export type { DockerSettingsProblem } from "./settings/check-settings.ts";
export type { CheckedDockerSettings } from "./settings/container-faults.ts";
export type {
  ConfiguredService,
  DockerDirectories,
  DockerEnvironment,
  DockerExecutor,
  DockerExecutorOptions,
  DockerExit,
  DockerImage,
  DockerJob,
  DockerPrepareRequest,
  DockerRunRequest,
  DockerRunner,
  DockerSettings,
  DockerVariable,
  DockerWorkspace,
  GarbageResult,
  MatchRegistryLogin,
  PullPolicy,
  Sleep,
  SweepResult,
  WorkspaceChoice,
} from "./types.ts";
