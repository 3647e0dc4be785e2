import { JobConfigurationError } from "../errors.ts";
import type { JobContext } from "../job-context.ts";

/**
 * Refuses jobs that need secrets of a provider: there is none that this runner can ask.
 *
 * @throws {JobConfigurationError} names the variables and their providers
 */
export function resolveSecrets(job: JobContext): void {
  const wanted = Object.entries(job.payload.secrets);
  if (wanted.length === 0) return;
  const list = wanted.map(([name, secret]) => `${name} from ${providerOf(secret)}`).join(", ");
  throw new JobConfigurationError(
    `the job needs secrets (${list}), and this runner cannot fetch secrets from any provider yet; ` +
      "pass them as masked variables, or send the job to another runner",
  );
}

const PROVIDERS = [
  "vault",
  "gcp_secret_manager",
  "azure_key_vault",
  "aws_secrets_manager",
  "gitlab_secrets_manager",
] as const;

function providerOf(secret: unknown): string {
  if (typeof secret !== "object" || secret === null) return "an unknown provider";
  return PROVIDERS.find((name) => Object.hasOwn(secret, name)) ?? "an unknown provider";
}
