import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext } from "node:tls";

import { DockerConfigurationError, messageOf } from "../errors.ts";

/** Where an engine is, and how to prove who is asking. */
export interface EngineOptions {
  /**
   * `unix:///path`, `tcp://host:port`, `http://host:port`, `https://host:port` or `host:port`.
   *
   * @default "unix:///var/run/docker.sock"
   */
  readonly host?: string;
  /** Whether the connection is TLS, and the engine is checked. An `https` address always is. @default false */
  readonly tlsVerify?: boolean;
  /** Directory with `ca.pem`, `cert.pem` and `key.pem`, as docker-machine lays it out. */
  readonly tlsCertificatePath?: string;
}

/** An engine's address in parts. */
export interface EngineAddress {
  /** As it was configured, for messages. */
  readonly text: string;
  readonly place: { readonly socketPath: string } | { readonly hostName: string; readonly port: number };
  readonly tls: boolean;
}

/** Certificates in PEM form. */
export interface EngineCertificates {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

const DEFAULT_HOST = "unix:///var/run/docker.sock";
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** @throws {DockerConfigurationError} the address has a form that is not known */
export function parseEngineAddress({ host, tlsVerify = false }: EngineOptions): EngineAddress {
  const text = host === undefined || host === "" ? DEFAULT_HOST : host;
  if (text.startsWith("unix://")) return { text, place: { socketPath: text.slice("unix://".length) }, tls: false };
  const [, scheme = "tcp", rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/.exec(text) ?? [];
  if (!["tcp", "http", "https"].includes(scheme)) {
    throw new DockerConfigurationError(
      `the Docker host ${JSON.stringify(text)} has the scheme ${scheme}; use unix, tcp, http or https`,
    );
  }
  const url = URL.canParse(`http://${rest}`) ? new URL(`http://${rest}`) : undefined;
  if (url === undefined || url.hostname === "") {
    throw new DockerConfigurationError(`the Docker host ${JSON.stringify(text)} has no host name in it`);
  }
  const tls = tlsVerify || scheme === "https";
  // The colons of an IPv6 address are no port.
  const afterHost = rest.replace(/^\[[^\]]*\]/, "");
  // A URL leaves out the port that is usual for its scheme.
  const port = /:\d+$/.test(url.host)
    ? Number(url.port)
    : /:0*80(?:\/|$)/.test(afterHost)
      ? 80
      : tls
        ? TLS_PORT
        : PLAIN_PORT;
  return { text, place: { hostName: url.hostname.replace(/^\[|\]$/g, ""), port }, tls };
}

/** @throws {DockerConfigurationError} a file is missing, or is not what its name says */
export async function readCertificates(directory: string | undefined): Promise<EngineCertificates> {
  if (directory === undefined || directory === "") {
    throw new DockerConfigurationError(
      "the connection to the Docker engine is TLS, but tls_cert_path is not set; name the directory of ca.pem, cert.pem and key.pem",
    );
  }
  const read = async (name: string): Promise<Buffer> => {
    try {
      return await readFile(join(directory, name));
    } catch (error) {
      throw new DockerConfigurationError(`cannot read the Docker engine's ${name}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };
  const [ca, cert, key] = await Promise.all([read("ca.pem"), read("cert.pem"), read("key.pem")]);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new DockerConfigurationError(
      `cert.pem and key.pem in ${directory} are no certificate with its key: ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (!ca.includes("-----BEGIN")) throw new DockerConfigurationError(`ca.pem in ${directory} has no certificate in it`);
  return { ca, cert, key };
}
