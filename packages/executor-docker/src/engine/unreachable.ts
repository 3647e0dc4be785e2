import { EngineUnreachableError } from "../errors.ts";
import type { EngineAddress } from "./address.ts";

/** Says why there is no connection to an engine, and what to do about it. */
export function unreachable(address: EngineAddress, cause: unknown): EngineUnreachableError {
  const { cure, mayPass } = diagnose(address, codeOf(cause));
  return new EngineUnreachableError(address.text, cause, { cure, retryable: mayPass });
}

/** An engine that speaks TLS gives a client that does not this answer, and no other. */
export function wantsTls({ tls }: EngineAddress, status: number, message: string): boolean {
  return !tls && status === 400 && /HTTP request to an HTTPS server/i.test(message);
}

/** @see wantsTls */
export function plainToTls(address: EngineAddress, message: string): EngineUnreachableError {
  const cure = `it speaks TLS: set tls_verify and tls_cert_path in [runners.docker], or DOCKER_TLS_VERIFY and DOCKER_CERT_PATH`;
  return new EngineUnreachableError(address.text, new Error(message), { cure, retryable: false });
}

interface Diagnosis {
  readonly cure: string;
  /** Whether it may work a moment later. */
  readonly mayPass: boolean;
}

function diagnose(address: EngineAddress, code: string): Diagnosis {
  const { place } = address;
  if ("socketPath" in place) return diagnoseSocket(place.socketPath, code);
  return (address.tls ? diagnoseTls(code) : undefined) ?? UNKNOWN;
}

const ELSEWHERE = "name the engine's address as host in [runners.docker], or as DOCKER_HOST";
const UNKNOWN: Diagnosis = { cure: `is it running, and is its address right? Else ${ELSEWHERE}`, mayPass: true };

/** @see https://docs.docker.com/engine/install/linux-postinstall/ */
function diagnoseSocket(path: string, code: string): Diagnosis {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return {
        cure: `the runner's user may not use the socket ${path}: add the user to the socket's group, usually docker (sudo usermod -aG docker USER), and start the runner anew, or ${ELSEWHERE}`,
        mayPass: false,
      };
    case "ENOENT":
      return {
        cure: `there is no socket ${path}: install and start Docker (sudo systemctl start docker), or ${ELSEWHERE}`,
        mayPass: true,
      };
    case "ECONNREFUSED":
      return {
        cure: `nobody listens at the socket ${path}: start Docker (sudo systemctl start docker), or ${ELSEWHERE}`,
        mayPass: true,
      };
    case "ENOTSOCK":
    case "ENOTDIR":
    case "ENAMETOOLONG":
      return { cure: `${path} cannot be a socket: ${ELSEWHERE}`, mayPass: false };
    default:
      return UNKNOWN;
  }
}

/** @see https://nodejs.org/api/tls.html#x509-certificate-error-codes */
function diagnoseTls(code: string): Diagnosis | undefined {
  const cure = TLS_CURES.find(([pattern]) => pattern.test(code))?.[1];
  return cure === undefined ? undefined : { cure, mayPass: false };
}

const TLS_CURES: readonly (readonly [RegExp, string])[] = [
  [
    /^(?:EPROTO|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG)$/,
    "at this port it speaks no TLS: name the port that does (usually 2376), or do not set tls_verify (DOCKER_TLS_VERIFY)",
  ],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    "its certificate is for other names: write one of them as host, or make a certificate for this one",
  ],
  [/^(?:CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/, "its certificate is not valid today: make a new one, or set the clock"],
  [
    /^ERR_SSL_(?:TLSV1|TLSV13|SSLV3)_ALERT_/,
    "it does not accept cert.pem of tls_cert_path: take one that its authority has signed",
  ],
  [
    /^(?:UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|CERT_|CRL_|INVALID_CA|PATH_LENGTH)/,
    "ca.pem of tls_cert_path is not the authority that has signed its certificate: take the engine's own",
  ],
];

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
}
