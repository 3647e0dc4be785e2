/**
 * The CRC-32 of two pieces of data one after the other, from the CRC of each.
 *
 * A CRC is a polynomial over GF(2), and zeros behind data multiply it by a power of x, modulo the polynomial of CRC-32: one that squaring finds in as many steps
 * as the length has bits.
 *
 * @param secondBytes - length of the second piece
 * @see https://www.rfc-editor.org/rfc/rfc1952#section-8
 */
export function combineCrc32(first: number, second: number, secondBytes: number): number {
  let crc = first;
  let power = X_TO_THE_8TH;
  for (let left = secondBytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) crc = multiply(crc, power);
    power = multiply(power, power);
  }
  return (crc ^ second) >>> 0;
}

/* The highest bit stands for x to the power of 0. */
const POLYNOMIAL = 0xedb88320;
const X_TO_THE_8TH = 0x0080_0000;

/** The product of two polynomials, modulo that of CRC-32. */
function multiply(one: number, other: number): number {
  let product = 0;
  let shifted = other;
  for (let left = one | 0; left !== 0; left <<= 1) {
    if (left < 0) product ^= shifted;
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return product;
}
