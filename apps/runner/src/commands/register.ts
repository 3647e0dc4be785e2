import { hostname } from "node:os";
import { dirname } from "node:path";
import {
  CLIENT_ERROR_STATUS,
  type CoordinatorClient,
  type RegisterRunnerResult,
  Secret,
} from "@fleetfoot/coordinator-client";
import { addRunner, type NewRunnerDocker } from "@fleetfoot/runner-config";
import type { CommandAction, Invocation } from "../command.ts";
import { configPath, loadConfig, saveConfig, networkSettings } from "../config-file.ts";
import type { CliContext } from "../context.ts";
import { defined } from "../defined.ts";
import { checkDockerOptions, dockerOptionsGiven, readDockerSettings } from "../docker-settings.ts";
import { UsageError } from "../errors.ts";
import { createProcessLog } from "../process-log.ts";
import { connect } from "../instance/connect.ts";
import { SUPPORTED_EXECUTORS } from "../executors/executors.ts";
import { loadSystemId } from "../system-id.ts";

const AUTHENTICATION_TOKEN = /^glrt-/;

/** Checks a token with its instance and adds the runner to the file. */
export const register: CommandAction = async (invocation, context) => {
  const path = configPath(invocation, context);
  const { text } = await loadConfig(path, context.environment);
  const { docker, ...answers } = await askForWhatIsMissing(invocation, context);
  if (docker !== undefined) await checkDockerOptions(docker);
  const logger = createProcessLog({ output: context.stderr, now: Date.now });
  const systemId = await loadSystemId(dirname(path), { warn: (message) => logger.warn(message) });
  const tls = {
    tlsCaFile: invocation.text("tls-ca-file"),
    tlsCertificateFile: invocation.text("tls-cert-file"),
    tlsKeyFile: invocation.text("tls-key-file"),
  };
  const client = connect({ ...answers, ...tls }, networkSettings(context), logger);
  try {
    const result = await introduce(client, answers, systemId, context.stop.forced);
    if (result.runner === undefined) {
      throw new UsageError(`${answers.url} did not accept the runner: ${result.message}`, { cure: cureFor(result) });
    }
    const { id, token, tokenObtainedAt, tokenExpiresAt } = result.runner;
    const limit = Number(invocation.text("limit") ?? 0);
    const entry = {
      ...answers,
      id,
      token: token.reveal(),
      tokenObtainedAt,
      tokenExpiresAt,
      limit,
      environment: invocation.texts("env"),
    };
    try {
      await saveConfig(
        path,
        addRunner(text, {
          ...entry,
          ...defined({
            buildsDirectory: invocation.text("builds-dir"),
            cacheDirectory: invocation.text("cache-dir"),
            ...tls,
            docker,
          }),
        }),
      );
    } catch (error) {
      // A runner that no file knows would stay on the instance for ever.
      await client.unregisterRunner({ token, systemId });
      throw new UsageError(`${path} cannot be written; the runner was removed from the instance again.`, {
        cure: "Check the folder's owner and mode, or name another file with --config.",
        cause: error,
      });
    }
    context.stdout.write(`Runner "${answers.name}" was added to ${path}. fleetfoot run takes its jobs.\n`);
    return 0;
  } finally {
    await client.close();
  }
};

interface Answers {
  readonly url: string;
  readonly credential: { readonly kind: "authentication" | "registration"; readonly token: Secret };
  readonly name: string;
  readonly executor: string;
  readonly shell: string;
  readonly tags: readonly string[];
  /** Of an executor with containers. */
  readonly docker: NewRunnerDocker | undefined;
}

async function askForWhatIsMissing(invocation: Invocation, context: CliContext): Promise<Answers> {
  const ask = invocation.flag("non-interactive") ? undefined : context.ask;
  const need = async (option: string, question: string, fallback?: string): Promise<string> => {
    const given = invocation.text(option);
    if (given !== undefined) return given;
    const answer =
      ask === undefined ? "" : (await ask(`${question}${fallback === undefined ? "" : ` [${fallback}]`}: `)).trim();
    if (answer !== "") return answer;
    if (fallback !== undefined) return fallback;
    throw new UsageError(`--${option} is missing.`, {
      cure: `Give it as an option${ask === undefined ? "" : " or answer the question"}.`,
    });
  };
  const registrationToken = invocation.text("registration-token");
  const url = await need("url", "Address of the GitLab instance (for example https://gitlab.com)");
  const token = registrationToken ?? (await need("token", "Token of the runner"));
  const tags = (invocation.text("tag-list") ?? "")
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
  const isAuthentication = registrationToken === undefined || AUTHENTICATION_TOKEN.test(token);
  if (tags.length > 0 && registrationToken === undefined) {
    throw new UsageError("--tag-list does not go with an authentication token: the instance keeps the tags.", {
      cure: "Leave it out and set the tags in the runner's page on the instance.",
    });
  }
  if (tags.length > 0 && isAuthentication) {
    context.stderr.write(
      "WARNING: --tag-list is ignored: the instance keeps the tags of a runner with an authentication token.\n",
    );
  }
  const name = invocation.text("description") ?? (await need("name", "Name of the runner", hostname()));
  const executor = supportedExecutor(await need("executor", `Executor (${SUPPORTED_EXECUTORS.join(", ")})`));
  warnOfDockerOptions(executor, invocation, context);
  const needImage = (): Promise<string> => need("docker-image", "Image of jobs that name none (for example node:24)");
  return {
    url,
    credential: { kind: isAuthentication ? "authentication" : "registration", token: new Secret(token) },
    name,
    executor,
    shell: invocation.text("shell") ?? "bash",
    tags,
    docker: executor === "docker" ? { ...readDockerSettings(invocation), image: await needImage() } : undefined,
  };
}

/** What was typed and has no effect is said. */
function warnOfDockerOptions(executor: string, invocation: Invocation, context: CliContext): void {
  const given = executor === "docker" ? [] : dockerOptionsGiven(invocation);
  if (given.length === 0) return;
  const names = given.map((name) => `--${name}`).join(", ");
  context.stderr.write(`WARNING: ${names}: no effect with the executor ${executor}.\n`);
}

function introduce(
  client: CoordinatorClient,
  answers: Pick<Answers, "credential" | "name" | "tags">,
  systemId: string,
  signal: AbortSignal,
): Promise<RegisterRunnerResult> {
  const { kind, token } = answers.credential;
  return kind === "authentication"
    ? client.adoptRunner({ token, systemId }, { signal })
    : client.registerRunner({ token, description: answers.name, tags: answers.tags }, { signal });
}

function supportedExecutor(executor: string): string {
  if (SUPPORTED_EXECUTORS.includes(executor)) return executor;
  throw new UsageError(`The executor "${executor}" is not supported.`, {
    cure: `Supported: ${SUPPORTED_EXECUTORS.join(", ")}.`,
  });
}

function cureFor(result: RegisterRunnerResult): string {
  if (result.status === CLIENT_ERROR_STATUS)
    return "Give the address of the instance, for example https://gitlab.example.com.";
  if (result.status === 403) return "Check the token: copy it again from the runner's page on the instance.";
  if (result.status === 410)
    return "This instance wants runners to be made on it first. Make one there and give its token with --token.";
  return "Check the address, and that the instance can be reached from here.";
}
