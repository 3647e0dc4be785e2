import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Settings } from "../settings/read-settings.ts";

/**
 * Why clients would refuse the mirror's certificate, as far as it can be told without them.
 *
 * @param url - how they call the mirror
 */
export async function certificateWarnings(
  { tls }: Pick<Settings, "tls">,
  url: string,
  nowMs: number,
): Promise<readonly string[]> {
  if (tls === undefined) return [];
  const certificate = new X509Certificate(await readFile(tls.certFile));
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const holds = isIP(host) === 0 ? certificate.checkHost(host, { subject: "never" }) : certificate.checkIP(host);
  const untilMs = Date.parse(certificate.validTo);
  return [
    ...(holds === undefined
      ? [
          `the certificate ${tls.certFile} does not hold for ${host}, as clients call this mirror (--advertise): they refuse it.`,
        ]
      : []),
    ...(untilMs <= nowMs ? [`the certificate ${tls.certFile} has expired (${certificate.validTo}).`] : []),
  ];
}
