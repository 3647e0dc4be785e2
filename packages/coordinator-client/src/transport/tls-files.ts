import { readFile, stat } from "node:fs/promises";
import { createSecureContext, getCACertificates } from "node:tls";
import type { SecureContext } from "node:tls";
import { X509Certificate } from "node:crypto";

import { describeError } from "../error-text.ts";
import type { Logger } from "../logger.ts";

/** Files of PEM text for TLS; each may be missing, and may be replaced at any time. @see coordinator-protocol 1.4 */
export interface TlsFiles {
  /** Authorities that are trusted in addition to those of the system. */
  readonly caFile?: string;
  /** Certificate of this client; used only together with `keyFile`. */
  readonly certificateFile?: string;
  readonly keyFile?: string;
}

/** What TLS connections are made with, as the files were when they were read. */
export interface TlsMaterial {
  /** Tells one state of the files from another. */
  readonly fingerprint: string;
  readonly context: SecureContext;
  /** Content of the files, as far as they are in use. */
  readonly authority: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

/** Tells whether any of the files has changed, at the price of looking at each of them. */
export async function fingerprintOf(files: TlsFiles): Promise<string> {
  const { caFile, certificateFile, keyFile } = files;
  const states = await Promise.all([caFile, certificateFile, keyFile].map(stateOf));
  return states.join("\n");
}

/**
 * Reads the files. What cannot be used is logged and left out, since an instance that is trusted by the system alone must not
 * become unreachable by a broken file; a file that is missing is left out silently.
 */
export async function readTlsMaterial(files: TlsFiles, logger: Logger): Promise<TlsMaterial> {
  // Before the contents: a file that changes in between is read again with the next request.
  const fingerprint = await fingerprintOf(files);
  const authority = usable(await textOf(files.caFile, logger), files.caFile, logger, checkAuthorities);
  const pair = await readPair(files, logger);
  const ca = authority === undefined ? systemAuthorities() : [...systemAuthorities(), authority];
  return {
    fingerprint,
    authority,
    certificate: pair?.certificate,
    key: pair?.key,
    // Once for all connections: reading some hundred authorities takes as long as a handshake.
    context: createSecureContext({
      minVersion: "TLSv1.2",
      ca,
      ...(pair === undefined ? {} : { cert: pair.certificate, key: pair.key }),
    }),
  };
}

async function stateOf(path: string | undefined): Promise<string> {
  if (path === undefined) return "";
  try {
    // Not the time alone: a copy may keep that of its original.
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "missing";
  }
}

async function textOf(path: string | undefined, logger: Logger): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) report(path, error, logger);
    return undefined;
  }
}

async function readPair(
  files: TlsFiles,
  logger: Logger,
): Promise<{ readonly certificate: string; readonly key: string } | undefined> {
  const { certificateFile, keyFile } = files;
  if (certificateFile === undefined || keyFile === undefined) return undefined;
  const [certificate, key] = await Promise.all([textOf(certificateFile, logger), textOf(keyFile, logger)]);
  if (certificate === undefined || key === undefined) return undefined;
  const pair = { certificate, key };
  return usable(pair, certificateFile, logger, () => void createSecureContext({ cert: certificate, key }));
}

function usable<Content>(
  content: Content | undefined,
  path: string | undefined,
  logger: Logger,
  check: (content: Content) => void,
): Content | undefined {
  if (content === undefined) return undefined;
  try {
    check(content);
    return content;
  } catch (error) {
    report(path, error, logger);
    return undefined;
  }
}

function report(file: string | undefined, error: unknown, logger: Logger): void {
  logger.error("A file for TLS cannot be used and has no effect", { file, error: describeError(error) });
}

/** An unreadable one among several would be passed over silently otherwise. */
function checkAuthorities(text: string): void {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error("it holds no certificate in PEM form");
  for (const certificate of certificates) void new X509Certificate(certificate);
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Both those that Node brings or was given, and those of the operating system, as other programs of the host trust them. */
function systemAuthorities(): string[] {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}
