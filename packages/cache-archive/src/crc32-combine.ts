const POLYNOMIAL = 0xedb88320;

/**
 * The CRC-32 of two pieces of data one after the other, from the CRC of each.
 *
 * Appending zeros to data is a linear map of its CRC over GF(2); squaring the map of one zero bit gives those of 2, 4, 8 ... bits.
 *
 * @param secondBytes - length of the second piece
 * @see https://www.rfc-editor.org/rfc/rfc1952#section-8
 */
export function combineCrc32(first: number, second: number, secondBytes: number): number {
  let map = Uint32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 2 ** (bit - 1)));
  // From one bit to one byte.
  for (let squared = 0; squared < 3; squared += 1) map = square(map);
  let crc = first;
  for (let left = secondBytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) crc = apply(map, crc);
    map = square(map);
  }
  return (crc ^ second) >>> 0;
}

function apply(map: Uint32Array, value: number): number {
  let result = 0;
  for (let bit = 0, left = value; left !== 0; bit += 1, left >>>= 1) {
    if ((left & 1) === 1) result ^= map[bit] ?? 0;
  }
  return result >>> 0;
}

function square(map: Uint32Array): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(map, (column) => apply(map, column));
}
