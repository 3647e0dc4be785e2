import type { DockerFailureReason } from "../errors.ts";

const NETWORK = [
  "dial tcp",
  "connection refused",
  "no such host",
  "i/o timeout",
  "tls handshake",
  "client.timeout exceeded",
  "request canceled",
  "connection reset",
];

const REFUSED = [
  "not found",
  "manifest unknown",
  "pull access denied",
  "access to the resource is denied",
  "no basic auth credentials",
  "repository does not exist or may require",
  "unauthorized",
  "authentication required",
];

/** Why a pull failed, by what the engine says. @see job-execution 1.5 */
export function pullFailureReason(message: string): DockerFailureReason {
  const text = message.toLowerCase();
  if (NETWORK.some((part) => text.includes(part))) return "runner_external_dependency_failure";
  return REFUSED.some((part) => text.includes(part)) ? "runner_configuration_error" : "image_pull_failure";
}
