import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { requireProgram, runProgram, systemEnvironment } from "@fleetfoot-tooling/systems";

/** A certificate for `localhost` and 127.0.0.1, and the authority that signed it, as PEM text. */
export interface TestCertificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Makes an authority and lets it sign one certificate. */
export async function createCertificates(): Promise<TestCertificates> {
  const openssl = await requireProgram("openssl", "the tests that need certificates");
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-certificates-"));
  const run = (...args: readonly string[]) =>
    runProgram(openssl.path, args, { folder, environment: systemEnvironment(folder) });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  try {
    await writeFile(join(folder, "extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    await run("req", "-x509", ...key, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem");
    await run("req", ...key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem");
    const signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
    await run("x509", "-req", "-in", "request.pem", ...signing, "-extfile", "extensions", "-out", "cert.pem");
    const [ca, cert, keyText] = await Promise.all(
      ["ca.pem", "cert.pem", "key.pem"].map((name) => readFile(join(folder, name), "utf8")),
    );
    return { ca: ca ?? "", cert: cert ?? "", key: keyText ?? "" };
  } finally {
    await rm(folder, { recursive: true });
  }
}
