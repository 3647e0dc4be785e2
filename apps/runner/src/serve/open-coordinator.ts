import { join } from "node:path";
import {
  type CoordinatorHandler,
  LocalCoordinatorError,
  type StartedCoordinator,
  startLocalCoordinator,
} from "@fleetfoot/local-coordinator";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import type { Git } from "../project/git.ts";
import { createProcessLog } from "../process-log.ts";
import { fileLookups } from "./file-lookups.ts";
import { createGitHttpHandler } from "./git-http.ts";
import type { ServeOptions } from "./options.ts";
import { type ServeTokens, loadTokens } from "./tokens.ts";
import { makeFolder } from "../make-folder.ts";

/** A coordinator that also gives out the sources. */
export interface ServedCoordinator {
  readonly coordinator: StartedCoordinator;
  /** As runners and jobs know it. */
  readonly url: string;
  readonly tokens: ServeTokens;
  /** Relative to the address of the coordinator, as pipelines take it. */
  readonly repositoryUrl: string;
}

/** A poll that finds nothing is kept open so long: a job starts at once, and a runner with other work is not kept from it for long. */
const POLL_HOLD_MS = 20_000;

/** Runners confirm a job before they prepare it, within seconds; nobody wants to wait longer for one whose answer was lost. */
const CONFIRMATION_TIMEOUT_MS = 30_000;

/**
 * Starts the coordinator of a state directory, with everything that an earlier process left there.
 *
 * @param projectPath - for example `group/project`
 * @throws {UsageError} the address is taken
 */
export async function openCoordinator(
  options: ServeOptions,
  parts: { readonly projectPath: string; readonly git: Git; readonly context: CliContext },
): Promise<ServedCoordinator> {
  const { projectPath, git, context } = parts;
  const stateDirectory = join(options.stateDirectory, "coordinator");
  await makeFolder(stateDirectory, 0o700);
  const tokens = await loadTokens(options.stateDirectory);
  const logger = createProcessLog({ output: context.stderr, level: "warning", now: Date.now });
  const repository = join(options.stateDirectory, "sources.git");
  const serveGit = createGitHttpHandler({
    repository,
    path: `/${projectPath}.git`,
    isAllowed: (password) => coordinator?.jobByToken(password) !== undefined,
    environment: context.environment,
    warn: (message) => logger.warn(message),
  });
  const wrap =
    (handler: CoordinatorHandler): CoordinatorHandler =>
    (request, facts) =>
      serveGit(request) ?? handler(request, facts);
  let coordinator: StartedCoordinator | undefined;
  coordinator = await startOrExplain({
    stateDirectory,
    host: options.host,
    port: options.port,
    ...(options.url === undefined ? {} : { url: options.url }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    runners: [{ token: tokens.runner, description: "runner of the printed token", tags: options.tags }],
    registrationToken: tokens.registration,
    longPolling: { holdMs: POLL_HOLD_MS, onWake: "assign" },
    confirmationTimeoutMs: CONFIRMATION_TIMEOUT_MS,
    fileLookups: fileLookups(git, repository),
    logger,
    wrap,
  });
  return {
    coordinator,
    url: options.url ?? coordinator.url,
    tokens,
    repositoryUrl: `./${encodeURI(projectPath)}.git`,
  };
}

async function startOrExplain(options: Parameters<typeof startLocalCoordinator>[0]): Promise<StartedCoordinator> {
  try {
    return await startLocalCoordinator(options);
  } catch (error) {
    if (!LocalCoordinatorError.isInstance(error)) throw error;
    const cures = {
      "listen-failed": "Another program may listen there: name another address with --listen.",
      "invalid-options": "Name a certificate and its key as PEM files.",
    } as const;
    const cure = error.code in cures ? cures[error.code as keyof typeof cures] : undefined;
    const reason = error.cause instanceof Error ? `: ${error.cause.message}` : "";
    throw new UsageError(`${error.message}${reason}.`, { cause: error, ...(cure === undefined ? {} : { cure }) });
  }
}
