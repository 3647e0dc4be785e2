import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "./x509.ts";
import type { Extension, X509Certificate } from "./x509.ts";
import { createPublicKey, randomBytes } from "node:crypto";
import type { KeyObject, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { nameConstraints } from "./constraints.ts";

/** When a certificate holds, in epoch milliseconds. */
export interface Validity {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What an authority's own certificate says. */
export interface AuthorityFacts {
  /** Common name, when it is made for the first time; a renewed one keeps its subject. */
  readonly subject: string | X509Certificate;
  readonly key: KeyObject;
  readonly validity: Validity;
  /** Hosts that it may be used for; undefined for all. */
  readonly hosts: readonly string[] | undefined;
}

/**
 * Makes the certificate of an authority.
 *
 * @returns PEM
 */
export async function issueAuthority({ hosts, key, subject, validity }: AuthorityFacts): Promise<string> {
  const algorithm = signingAlgorithm(key);
  const publicKey = publicHalf(key, algorithm);
  const name = typeof subject === "string" ? [{ CN: [subject] }] : subject.subjectName;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: name,
    issuer: name,
    notBefore: new Date(validity.fromMs),
    notAfter: new Date(validity.toMs),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: key.toCryptoKey(algorithm, false, ["sign"]),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
      ...(hosts === undefined ? [] : [nameConstraints(hosts)]),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

/**
 * Makes the certificate of a server.
 *
 * @param host - name or address
 * @param key - the server's; its public half goes into the certificate
 * @returns PEM
 */
export async function issueServer(
  host: string,
  key: KeyObject,
  validity: Validity,
  authority: { readonly certificate: X509Certificate; readonly key: KeyObject },
): Promise<string> {
  const algorithm = signingAlgorithm(authority.key);
  const publicKey = publicHalf(key, signingAlgorithm(key));
  const identifier = authority.certificate.getExtension(SubjectKeyIdentifierExtension);
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? "dns" : "ip", value: host }], false),
    // As the authority's own certificate has it, which need not be as we would compute it.
    ...(identifier === null ? [] : [new AuthorityKeyIdentifierExtension(identifier.keyId)]),
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    // A common name would be taken for the name of a host, and measured by the constraints for names.
    subject: [{ O: ["fleetfoot-mirror"] }],
    issuer: authority.certificate.subjectName,
    notBefore: new Date(validity.fromMs),
    notAfter: new Date(Math.min(validity.toMs, authority.certificate.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: authority.key.toCryptoKey(algorithm, false, ["sign"]),
    extensions,
  });
  return `${certificate.toString("pem")}\n`;
}

/** Whether certificates can be signed with a key: RSA, or one of NIST's curves. */
export function canSign(key: KeyObject): boolean {
  return key.asymmetricKeyType === "rsa" || curveOf(key) !== undefined;
}

type SigningAlgorithm = { readonly name: string; readonly hash: string; readonly namedCurve?: string };

function signingAlgorithm(key: KeyObject): SigningAlgorithm {
  const curve = curveOf(key);
  if (curve === undefined) return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  return { name: "ECDSA", namedCurve: curve, hash: hashes[curve] ?? "SHA-256" };
}

function curveOf(key: KeyObject): string | undefined {
  return curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
}

function publicHalf(key: KeyObject, algorithm: SigningAlgorithm): webcrypto.CryptoKey {
  return createPublicKey(key).toCryptoKey(algorithm, true, ["verify"]);
}

/** Positive, and of 16 bytes. */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}

const curves: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };
const hashes: Readonly<Record<string, string>> = { "P-256": "SHA-256", "P-384": "SHA-384", "P-521": "SHA-512" };
