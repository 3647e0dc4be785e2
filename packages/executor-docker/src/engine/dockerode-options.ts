import type Dockerode from "dockerode";

import { parseEngineAddress, readCertificates } from "./address.ts";
import type { EngineOptions } from "./address.ts";

/**
 * Where an engine is and who is asking, as dockerode takes it: for programs that talk to an engine by themselves. Nothing of it is left to the
 * environment, which dockerode would read.
 *
 * @throws {DockerConfigurationError} the address has a form that is not known, or a certificate cannot be read
 */
export async function dockerodeOptions(options: EngineOptions): Promise<Dockerode.DockerOptions> {
  const { place, tls } = parseEngineAddress(options);
  const unset = { timeout: undefined, ca: undefined, cert: undefined, key: undefined, pathPrefix: undefined };
  if ("socketPath" in place) return Object.assign(unset, { protocol: "http", socketPath: place.socketPath }) as object;
  const address = { host: place.hostName, port: place.port };
  if (!tls) return Object.assign(unset, { protocol: "http", ...address }) as object;
  return Object.assign(unset, {
    protocol: "https",
    ...address,
    ...(await readCertificates(options.tlsCertificatePath)),
  }) as object;
}
