import { AsnConvert } from "@peculiar/asn1-schema";
import { GeneralName, GeneralSubtree, GeneralSubtrees, NameConstraints } from "@peculiar/asn1-x509";
import { Extension } from "./x509.ts";
import type { X509Certificate } from "./x509.ts";
import { isIP, isIPv4 } from "node:net";

/**
 * What keeps a stolen key from being of use elsewhere: the certificate holds for these hosts and for what is below their
 * names, and for no address that is not among them.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.10
 */
export function nameConstraints(hosts: readonly string[]): Extension {
  const names = hosts.filter((host) => isIP(host) === 0);
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  const permitted = [
    ...names.map((dNSName) => subtree({ dNSName })),
    ...addresses.map((address) => subtree({ iPAddress: `${address}/${isIPv4(address) ? 32 : 128}` })),
  ];
  const excluded = [
    ...(names.length === 0 ? [subtree({ dNSName: "" })] : []),
    // Once an address is permitted, all others are not.
    ...(addresses.length === 0 ? ["0.0.0.0/0", "::/0"].map((iPAddress) => subtree({ iPAddress })) : []),
  ];
  const constraints = new NameConstraints({
    permittedSubtrees: new GeneralSubtrees(permitted),
    ...(excluded.length === 0 ? {} : { excludedSubtrees: new GeneralSubtrees(excluded) }),
  });
  return new Extension(nameConstraintsId, true, AsnConvert.serialize(constraints));
}

/** The hosts that a certificate cannot be used for. Exclusions other than our own are not looked at. */
export function uncoveredHosts(certificate: X509Certificate, hosts: readonly string[]): readonly string[] {
  const extension = certificate.getExtension(nameConstraintsId);
  if (extension === null) return [];
  const { excludedSubtrees, permittedSubtrees } = AsnConvert.parse(extension.value, NameConstraints);
  const permitted = [...(permittedSubtrees ?? [])].map(({ base }) => base);
  const excluded = [...(excludedSubtrees ?? [])].map(({ base }) => base);
  const namesOf = (bases: readonly GeneralName[]): readonly string[] => bases.flatMap(({ dNSName }) => dNSName ?? []);
  const addressesOf = (bases: readonly GeneralName[]): readonly string[] =>
    bases.flatMap(({ iPAddress }) => iPAddress ?? []);
  return hosts.filter((host) => {
    if (isIP(host) === 0) {
      const names = namesOf(permitted);
      const isPermitted = names.length === 0 || names.some((name) => host === name || host.endsWith(`.${name}`));
      return !isPermitted || namesOf(excluded).includes("");
    }
    const addresses = addressesOf(permitted);
    if (addresses.length > 0) return !addresses.some((range) => range.split("/")[0] === host);
    return addressesOf(excluded).length > 0;
  });
}

function subtree(base: { readonly dNSName: string } | { readonly iPAddress: string }): GeneralSubtree {
  return new GeneralSubtree({ base: new GeneralName(base) });
}

const nameConstraintsId = "2.5.29.30";
