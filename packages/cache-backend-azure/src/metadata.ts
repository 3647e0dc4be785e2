import { decodeHeaderText, encodeHeaderText } from "@fleetfoot/cache-backend";

/**
 * Spells metadata as the service wants it: names are identifiers of C#, which have no dash and begin with no digit, and
 * values are ASCII.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
 */
export function toAzureMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => {
      const identifier = name.replaceAll("-", "_");
      return [/^\d/.test(identifier) ? `_${identifier}` : identifier, encodeHeaderText(value)];
    }),
  );
}

/** Reads what {@link toAzureMetadata} wrote. */
export function fromAzureMetadata(metadata: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      name.toLowerCase().replace(/^_/, "").replaceAll("_", "-"),
      decodeHeaderText(value),
    ]),
  );
}
