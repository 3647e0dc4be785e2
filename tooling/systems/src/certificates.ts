import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { callerEnvironment } from "./environment.ts";
import { requireProgram } from "./programs.ts";
import { runProgram } from "./run-program.ts";

/** A certificate with its key, as PEM text. */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: string;
}

/** An authority of its own, which no system trusts. */
export interface Authority extends CertificatePair {
  /**
   * A certificate for servers and clients.
   *
   * @param names - as openssl takes them. @default "DNS:localhost,IP:127.0.0.1"
   */
  issue(names?: string): Promise<CertificatePair>;
}

export interface CertificateFolder extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
  makeAuthority(name: string): Promise<Authority>;
}

/** A folder for certificates, with an openssl that fills it. */
export async function makeCertificateFolder(): Promise<CertificateFolder> {
  const path = await mkdtemp(join(tmpdir(), "fleetfoot-certificates-"));
  const { path: openssl } = await requireProgram("openssl", "the tests that speak TLS");
  let serial = 0;

  async function create(subject: string, ...options: string[]): Promise<CertificatePair> {
    serial += 1;
    const [keyFile, certificateFile] = [join(path, `${serial}.key.pem`), join(path, `${serial}.pem`)];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
    await runProgram(
      openssl,
      ["req", "-x509", "-days", "2", ...key, "-subj", subject, ...options, "-out", certificateFile],
      { environment: callerEnvironment() },
    );
    return { certificate: await readFile(certificateFile, "utf8"), key: await readFile(keyFile, "utf8") };
  }

  return {
    path,
    async makeAuthority(name) {
      const own = await create(`/CN=${name}`, "-addext", "keyUsage=keyCertSign,cRLSign");
      const [caFile, caKeyFile] = [join(path, `${name}.ca.pem`), join(path, `${name}.ca.key.pem`)];
      await writeFile(caFile, own.certificate);
      await writeFile(caKeyFile, own.key);
      const issue = (names = "DNS:localhost,IP:127.0.0.1"): Promise<CertificatePair> => {
        const extensions = ["-addext", `subjectAltName=${names}`, "-addext", "basicConstraints=CA:FALSE"];
        return create("/CN=localhost", ...extensions, "-CA", caFile, "-CAkey", caKeyFile);
      };
      return { ...own, issue };
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}
