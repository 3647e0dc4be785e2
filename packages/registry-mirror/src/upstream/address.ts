import { BlockList, isIPv4, isIPv6 } from "node:net";

/** Where an address lies. `special` ones (link-local, multicast, unspecified, reserved) belong to no registry. */
export type AddressClass = "loopback" | "private" | "public" | "special";

/** Ranges that the operator allows in spite of their class. */
export interface AllowedRanges {
  contains(address: string): boolean;
}

/** Classes that may be connected to, from where a registry itself lies: never further inside than that. */
export function reachableFrom(origin: AddressClass): ReadonlySet<AddressClass> {
  if (origin === "loopback") return new Set(["public", "private", "loopback"]);
  return new Set(origin === "private" ? ["public", "private"] : ["public"]);
}

/** Says where an address lies; one that cannot be read is special. IPv4 inside IPv6 counts as IPv4. */
export function classOfAddress(address: string): AddressClass {
  const bytes = isIPv4(address) ? bytesOfIPv4(address) : isIPv6(address) ? bytesOfIPv6(address) : undefined;
  if (bytes === undefined) return "special";
  return bytes.length === 4 ? classOfIPv4(bytes) : classOfIPv6(bytes);
}

/**
 * Reads ranges such as `10.1.2.0/24`.
 *
 * @param problems - gets one line for each that cannot be read
 */
export function parseRanges(ranges: readonly string[], where: string, problems: string[]): AllowedRanges {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", prefix] = range.split("/");
    const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : undefined;
    const most = family === "ipv4" ? 32 : 128;
    const length = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (family === undefined || !(length <= most)) {
      problems.push(`${where}: ${JSON.stringify(range)} is no range of addresses such as 10.1.2.0/24`);
    } else {
      list.addSubnet(address, length, family);
    }
  }
  return {
    contains: (address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4"),
  };
}

/** @see https://www.iana.org/assignments/iana-ipv4-special-registry/iana-ipv4-special-registry.xhtml */
function classOfIPv4(bytes: readonly number[]): AddressClass {
  const [a = 0, b = 0, c = 0] = bytes;
  if (a === 127) return "loopback";
  if (a === 0 || a >= 224 || (a === 169 && b === 254)) return "special";
  if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)) return "private";
  if (a === 100 && b >= 64 && b < 128) return "private";
  if ((a === 192 && b === 0 && c === 0) || (a === 198 && (b === 18 || b === 19))) return "private";
  return "public";
}

/** @see https://www.iana.org/assignments/iana-ipv6-special-registry/iana-ipv6-special-registry.xhtml */
function classOfIPv6(bytes: readonly number[]): AddressClass {
  const startsWith = (...prefix: readonly number[]): boolean => prefix.every((byte, index) => bytes[index] === byte);
  const zeros = (from: number, to: number): boolean => bytes.slice(from, to).every((byte) => byte === 0);
  const embedded = bytes.slice(12);
  if (zeros(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff) return classOfIPv4(embedded);
  if (startsWith(0x00, 0x64, 0xff, 0x9b)) return classOfIPv4(embedded);
  if (startsWith(0x20, 0x02)) return classOfIPv4(bytes.slice(2, 6));
  if (zeros(0, 15) && bytes[15] === 1) return "loopback";
  // The unspecified address, and IPv4 in a form that nobody uses any more.
  if (zeros(0, 12)) return "special";
  const first = bytes[0] ?? 0;
  if (first === 0xff || (first === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80)) return "special";
  return (first & 0xfe) === 0xfc ? "private" : "public";
}

function bytesOfIPv4(address: string): readonly number[] {
  return address.split(".").map(Number);
}

function bytesOfIPv6(address: string): readonly number[] {
  const [plain = ""] = address.split("%");
  const withoutDots = plain.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
  const [left = "", right] = withoutDots.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((part) => Number.parseInt(part, 16));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const missing = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => 0);
  return [...head, ...missing, ...tail].flatMap((group) => [group >> 8, group & 0xff]);
}
