import { isIPv4, isIPv6 } from "node:net";

/** The bytes of an address: 4, or 16. An IPv4-mapped IPv6 address has the 4 bytes of its IPv4 address. */
export type AddressBytes = readonly number[];

/** A range of addresses; bits behind the prefix are zero. */
export interface AddressRange {
  readonly network: AddressBytes;
  readonly prefixLength: number;
}

/** Reads an address without port, brackets and zone; undefined when it is none. */
export function parseAddress(text: string): AddressBytes | undefined {
  const bytes = addressBytes(text);
  return bytes === undefined ? undefined : unmapped(bytes);
}

/** Reads `address/length`; host bits are masked off. */
export function parseRange(text: string): AddressRange | undefined {
  const [, address = "", length = ""] = /^([^/]*)\/(\d+)$/.exec(text) ?? [];
  const bytes = addressBytes(address);
  const prefixLength = Number(length);
  if (bytes === undefined || prefixLength > bytes.length * 8) return undefined;
  const masked = bytes.map((byte, index) => byte & byteMask(prefixLength - index * 8));
  const network = unmapped(masked);
  return { network, prefixLength: prefixLength - (masked.length - network.length) * 8 };
}

/** Whether an address lies in a range. */
export function isInRange(address: AddressBytes, range: AddressRange): boolean {
  return (
    address.length === range.network.length &&
    address.every((byte, index) => (byte & byteMask(range.prefixLength - index * 8)) === range.network[index])
  );
}

/** Whether two addresses are the same. */
export function isSameAddress(one: AddressBytes, other: AddressBytes): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: AddressBytes): boolean {
  return address.length === 4 ? address[0] === 127 : address.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

/** The usual text of an address; IPv6 without brackets. */
export function formatAddress(address: AddressBytes): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((address[index * 2] ?? 0) << 8) | (address[index * 2 + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function addressBytes(text: string): AddressBytes | undefined {
  if (isIPv4(text)) return text.split(".").map(Number);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // The URL parser brings every spelling into one: hexadecimal groups with at most one "::".
  const [head = "", tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split("::");
  const before = groupBytes(head);
  const after = groupBytes(tail ?? "");
  return [...before, ...Array.from({ length: 16 - before.length - after.length }, () => 0), ...after];
}

function groupBytes(groups: string): number[] {
  return groups === ""
    ? []
    : groups.split(":").flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
}

/** @see https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5.2 */
function unmapped(bytes: AddressBytes): AddressBytes {
  const isMapped = bytes.length === 16 && bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 0xff));
  return isMapped ? bytes.slice(12) : bytes;
}

/** The mask of one byte of which `bits` bits belong to the prefix; more than 8 or less than 0 are possible. */
function byteMask(bits: number): number {
  return (0xff << (8 - Math.min(8, Math.max(0, bits)))) & 0xff;
}
