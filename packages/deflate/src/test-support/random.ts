/** A stream of numbers that is the same for the same seed. */
export interface Random {
  /** A whole number from 0 up to, but not including, `limit`. */
  below(limit: number): number;
  pick<T>(choices: readonly [T, ...T[]]): T;
  bytes(length: number): Buffer;
}

export function seededRandom(seed: number): Random {
  let state = (seed * 2654435761 + 1) >>> 0;
  const next = (): number => {
    // xorshift, whose lower bits are as good as its upper ones.
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state;
  };
  // Neighbouring seeds begin alike.
  for (let warmUp = 0; warmUp < 8; warmUp += 1) next();
  return {
    below: (limit) => next() % limit,
    pick: (choices) => choices[next() % choices.length] ?? choices[0],
    bytes: (length) => Buffer.from(Array.from({ length }, () => (next() >>> 8) & 255)),
  };
}

/** Content as different as what is packed: words, noise, runs, little alphabets, and all of them. */
export function randomContent(random: Random, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let length = random.below(random.pick([8, 300, 5000, maxBytes]));
  while (length > 0) {
    const part = randomPart(random, 1 + random.below(length));
    parts.push(part);
    length -= part.length;
  }
  return Buffer.concat(parts);
}

function randomPart(random: Random, length: number): Buffer {
  switch (random.below(5)) {
    case 0:
      return random.bytes(length);
    case 1:
      return Buffer.alloc(length, random.below(256));
    case 2:
      return Buffer.alloc(length, random.bytes(1 + random.below(40)));
    case 3:
      return random.bytes(length).map((byte) => 97 + (byte % 5)) as Buffer;
    default:
      return words(random, length);
  }
}

function words(random: Random, length: number): Buffer {
  const vocabulary = Array.from({ length: 30 }, () => random.bytes(2 + random.below(8)).toString("hex"));
  let text = "";
  while (text.length < length) text += `${vocabulary[random.below(30)]} `;
  return Buffer.from(text.slice(0, length));
}
