import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

/** The certificates of the other end up to its authority, as PEM text; empty when it showed none. */
export function peerChain(socket: TLSSocket): string {
  const pems: string[] = [];
  const seen = new Set<string>();
  let current: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // The authority at the end is its own issuer.
  while (current?.raw !== undefined && !seen.has(current.fingerprint256)) {
    seen.add(current.fingerprint256);
    pems.push(toPem(current.raw));
    current = current.issuerCertificate;
  }
  return pems.join("");
}

function toPem(raw: Buffer): string {
  const lines = raw.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
