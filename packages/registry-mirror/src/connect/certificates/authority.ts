import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate as NodeCertificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "@fleetfoot/state-directory";
import { X509Certificate } from "./x509.ts";
import { systemCodeOf } from "../../storage/system-error.ts";
import { CertificateAuthorityError } from "../errors.ts";
import { uncoveredHosts } from "./constraints.ts";
import { canSign, issueAuthority, issueServer } from "./issue.ts";
import type { Validity } from "./issue.ts";

/** Where an authority is: in a directory of its own, made at the first use, or in files that somebody else made. */
export type CaSource =
  | { readonly directory: string }
  /** Certificate first, then those that lead to the one that clients trust. */
  | { readonly certFile: string; readonly keyFile: string };

export interface CaOptions {
  /** Hosts without ports that certificates are made for. */
  readonly hosts: readonly string[];
  /** Name of this machine, for the subject. */
  readonly machine: string;
  /** Whether a certificate that is made here holds for the hosts only. @default true */
  readonly constrain?: boolean;
  /** Epoch milliseconds. @default the clock of this machine */
  readonly now?: () => number;
}

/** Vouches for the mirror to those who trust it. */
export interface CertificateAuthority {
  /** PEM; what clients are to trust. */
  readonly certificate: string;
  /** SHA-256, in pairs of hexadecimal digits. */
  readonly fingerprint: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
  /** Whether it was made just now. */
  readonly isNew: boolean;
  /** What the operator should know. */
  readonly warnings: readonly string[];
  /** Makes the certificate of a server, and adds those that lead to the trusted one (PEM). */
  issue(host: string, key: KeyObject, validity: Validity): Promise<string>;
}

/**
 * Opens an authority; makes it when its directory does not exist. Of two processes that do so at once one wins, and both use
 * what it made.
 *
 * @throws {CertificateAuthorityError} others could read the key, a file is a link, the two do not belong together, the
 * certificate is none of an authority, has expired, or does not hold for a host
 */
export async function openCa(source: CaSource, options: CaOptions): Promise<CertificateAuthority> {
  const isNew = "directory" in source && (await makeIfMissing(source.directory, options));
  const { certFile, keyFile } = filesOf(source);
  const key = await readKey(source, keyFile);
  const certificate = await readCertificate(source, certFile);
  const { now = Date.now, hosts } = options;
  if (!certificate.node.checkPrivateKey(key)) {
    throw new CertificateAuthorityError(certFile, `it does not belong to the key ${keyFile}`);
  }
  if (!certificate.node.ca) throw new CertificateAuthorityError(certFile, "it is no certificate of an authority");
  const expiresAtMs = certificate.parsed.notAfter.getTime();
  if (expiresAtMs <= now()) {
    throw new CertificateAuthorityError(certFile, `it has expired${"directory" in source ? renewal : ""}`);
  }
  const uncovered = uncoveredHosts(certificate.parsed, hosts);
  if (uncovered.length > 0) {
    const mend = "directory" in source ? renewal : "; use another one, or take them from connect.hosts";
    throw new CertificateAuthorityError(certFile, `it does not hold for ${uncovered.join(", ")}${mend}`);
  }
  const daysLeft = Math.floor((expiresAtMs - now()) / dayMs);
  const chain = isSelfSigned(certificate.parsed) ? "" : certificate.pem;
  return {
    certificate: certificate.pem,
    fingerprint: certificate.node.fingerprint256,
    expiresAtMs,
    isNew,
    warnings: daysLeft < warnWithinDays ? [`${certFile} expires in ${daysLeft} days`] : [],
    issue: async (host, serverKey, validity) =>
      `${await issueServer(host, serverKey, validity, { certificate: certificate.parsed, key })}${chain}`,
  };
}

/**
 * Makes a new certificate for the key and the subject of an authority, with the present hosts and dates. Clients that trust the
 * old one go on for the old hosts.
 *
 * @throws {CertificateAuthorityError} there is none, or its files cannot be used
 */
export async function renewCa(source: { readonly directory: string }, options: CaOptions): Promise<void> {
  const { certFile, keyFile } = filesOf(source);
  const key = await readKey(source, keyFile);
  const { parsed } = await readCertificate(source, certFile);
  const text = await issueAuthority({ subject: parsed, key, validity: validityOf(options), hosts: hostsOf(options) });
  const temporary = `${certFile}.${randomBytes(6).toString("hex")}`;
  await writeNew(temporary, text, 0o644);
  await rename(temporary, certFile);
}

/** Both files appear at once, so that nobody ever sees a half. */
async function makeIfMissing(directory: string, options: CaOptions): Promise<boolean> {
  if (await exists(directory)) return false;
  const parent = dirname(directory);
  await makeDirectory(parent, 0o700);
  const temporary = join(parent, `.connect-${randomBytes(6).toString("hex")}`);
  await mkdir(temporary, { mode: 0o700 });
  try {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { machine, now = Date.now } = options;
    const subject = `fleetfoot-mirror ${machine.slice(0, 30)} ${new Date(now()).toISOString().slice(0, 10)}`;
    const text = await issueAuthority({
      subject,
      key: privateKey,
      validity: validityOf(options),
      hosts: hostsOf(options),
    });
    const { certFile, keyFile } = filesOf({ directory: temporary });
    await writeNew(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
    await writeNew(certFile, text, 0o644);
    await rename(temporary, directory);
    return true;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Somebody else was first.
    if (systemCodeOf(error) === "ENOTEMPTY" || systemCodeOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function writeNew(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, "wx", mode);
  try {
    // What the caller's umask took away.
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readKey(source: CaSource, file: string): Promise<KeyObject> {
  if ("directory" in source) {
    await refuseLink(source.directory);
    await refuseLink(file);
  }
  const text = await readText(file);
  if (((await stat(file)).mode & 0o077) !== 0) {
    throw new CertificateAuthorityError(file, "others than its owner can read it; its mode should be 0600");
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // What the library says could quote the key.
    throw new CertificateAuthorityError(file, "it holds no private key (PEM, without a password)");
  }
  if (!canSign(key)) throw new CertificateAuthorityError(file, "its key is neither RSA nor of a NIST curve");
  return key;
}

async function readCertificate(
  source: CaSource,
  file: string,
): Promise<{ readonly pem: string; readonly node: NodeCertificate; readonly parsed: X509Certificate }> {
  if ("directory" in source) await refuseLink(file);
  const pem = await readText(file);
  try {
    const node = new NodeCertificate(pem);
    return { pem, node, parsed: new X509Certificate(node.raw) };
  } catch (error) {
    throw new CertificateAuthorityError(file, "it holds no certificate (PEM)", { cause: error });
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new CertificateAuthorityError(file, "it cannot be read", { cause: error });
  }
}

async function refuseLink(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    throw new CertificateAuthorityError(path, "it cannot be read", { cause: error });
  });
  if (found.isSymbolicLink()) throw new CertificateAuthorityError(path, "it is a link");
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if (systemCodeOf(error) === "ENOENT") return false;
      throw error;
    },
  );
}

function filesOf(source: CaSource): { readonly certFile: string; readonly keyFile: string } {
  if ("certFile" in source) return source;
  return { certFile: join(source.directory, "ca.crt"), keyFile: join(source.directory, "ca.key") };
}

function validityOf({ now = Date.now }: CaOptions): Validity {
  return { fromMs: now() - hourMs, toMs: now() + 5 * 365 * dayMs };
}

function hostsOf({ constrain = true, hosts }: CaOptions): readonly string[] | undefined {
  return constrain ? hosts : undefined;
}

function isSelfSigned({ issuer, subject }: X509Certificate): boolean {
  return issuer === subject;
}

const hourMs = 60 * 60_000;
const dayMs = 24 * hourMs;
const warnWithinDays = 60;
const renewal = "; fleetfoot-mirror configure ca --renew makes a new one for the same key";
