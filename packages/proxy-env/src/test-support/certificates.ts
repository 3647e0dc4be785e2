import { makeCertificateFolder } from "@fleetfoot-tooling/systems";

/** A certificate for `localhost` and 127.0.0.1, and the authority that signed it, as PEM text. */
export interface TestCertificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Makes an authority and lets it sign one certificate. */
export async function createCertificates(): Promise<TestCertificates> {
  await using folder = await makeCertificateFolder();
  const authority = await folder.makeAuthority("authority");
  const { certificate, key } = await authority.issue();
  return { ca: authority.certificate, cert: certificate, key };
}
