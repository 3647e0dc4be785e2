import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { FilterChain } from "./filter-chain.ts";
import { compilePhrases, PhraseMasker } from "./phrase-masker.ts";
import { compileTokenPrefixes } from "./token-masker.ts";
import { Utf8Repairer } from "./utf8-repairer.ts";

describe("PhraseMasker", () => {
  it("CP A50: masks a value that is printed in one write", () => {
    expect(mask(["s3cretvalue"], ["key=s3cretvalue\n"])).toBe("key=[MASKED]\n");
  });

  it("CP A51: leaves nothing behind of the longer of two values that start alike", () => {
    expect(mask(["abc", "abcdef"], ["abcdef"])).toBe("[MASKED]");
  });

  it("CP A52: gives a started value in full when the stream ends", () => {
    expect(mask(["s3cretvalue"], ["s3cret"])).toBe("s3cret");
  });

  it("JE 30: masks once a value that is cut by two writes", () => {
    expect(mask(["s3cr3tvalue"], ["s3cr3", "tvalue"])).toBe("[MASKED]");
  });

  it.each([
    { values: ["aab"], writes: ["aa", "a", "b"], masked: "a[MASKED]", what: "a restart inside a failed match" },
    { values: ["abcabd"], writes: ["abcabcabd"], masked: "abc[MASKED]", what: "a restart at a later position" },
    { values: ["bcdef", "abc"], writes: ["abcd", "ef"], masked: "[MASKED]", what: "two values that overlap" },
    { values: ["aa"], writes: ["a", "a", "a", " a"], masked: "[MASKED] a", what: "a value that overlaps itself" },
    { values: ["ab"], writes: ["abab"], masked: "[MASKED][MASKED]", what: "values that touch" },
    { values: ["x"], writes: ["axbx"], masked: "a[MASKED]b[MASKED]", what: "a value of one byte" },
    { values: ["bcd", "abcdef"], writes: ["abcd", "eg"], masked: "a[MASKED]eg", what: "a value inside a failed one" },
    { values: [" padded \n", "", "  "], writes: ["padded  padded"], masked: "[MASKED]  [MASKED]", what: "blanks" },
    { values: ["käse"], writes: ["ein käse"], masked: "ein [MASKED]", what: "several bytes per character" },
    { values: ["Secret"], writes: ["secret SECRET"], masked: "secret SECRET", what: "another case" },
    { values: [], writes: ["all ", "of it"], masked: "all of it", what: "no value at all" },
  ])("masks exactly what it should with $what", ({ values, writes, masked }) => {
    expect(mask(values, writes)).toBe(masked);
  });

  it("gives output that cannot become a value at once", () => {
    const masker = new PhraseMasker(compilePhrases(["s3cret"]));
    expect(masker.push(Buffer.from("progress 10% s3")).toString()).toBe("progress 10% ");
    expect(masker.push(Buffer.from("p")).toString()).toBe("s3p");
  });

  it("masks a value once however long it overlaps itself, without keeping it", () => {
    const masker = new PhraseMasker(compilePhrases(["aaaa"]));
    const outputs = Array.from({ length: 1000 }, () => masker.push(Buffer.alloc(64, "a")).toString());
    expect(outputs.join("") + masker.end().toString()).toBe("[MASKED]");
  });

  it("finds a value that was added while its start was held back for another one", () => {
    const masker = new PhraseMasker(compilePhrases(["s3cret-one"]));
    const before = masker.push(Buffer.from("x s3cret-")).toString();
    masker.replacePhrases(compilePhrases(["s3cret-one", "cret-two"]));
    const after = masker.push(Buffer.from("two y")).toString();
    expect(before + after + masker.end().toString()).toBe("x s3[MASKED] y");
  });

  it("masks a value that is added while all of it is held back", () => {
    const masker = new PhraseMasker(compilePhrases(["prefix-secret-suffix"]));
    const before = masker.push(Buffer.from("prefix-secret-")).toString();
    masker.replacePhrases(compilePhrases(["prefix-secret-suffix", "secret"]));
    expect(before + masker.push(Buffer.from("!")).toString() + masker.end().toString()).toBe("prefix-[MASKED]-!");
  });

  it.each([
    { alphabet: "ab", longest: 4 },
    { alphabet: "abc", longest: 7 },
    { alphabet: "abcdefgh", longest: 3 },
  ])("masks as if it saw the whole text at once, with phrases of $alphabet up to $longest", ({ alphabet, longest }) => {
    const word = (maxLength: number): fc.Arbitrary<string> =>
      fc.string({ unit: fc.constantFrom(...alphabet.split("")), minLength: 1, maxLength });
    const text = fc.array(fc.oneof(word(12), fc.constant(" ")), { maxLength: 12 }).map((words) => words.join(""));
    fc.assert(
      fc.property(
        fc.array(word(longest), { minLength: 1, maxLength: 6 }),
        text,
        fc.array(fc.nat(60), { maxLength: 8 }),
        (values, whole, cuts) => {
          expect(mask(values, cut(whole, cuts))).toBe(maskWhole(values, whole));
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it("masks as if it saw the whole text at once, with long phrases in any bytes", () => {
    const phrase = fc.string({ unit: "binary", minLength: 5, maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(phrase, { minLength: 1, maxLength: 20 }),
        fc.array(fc.oneof(fc.nat(19), fc.string({ unit: "binary", maxLength: 30 })), { maxLength: 20 }),
        fc.array(fc.nat(600), { maxLength: 10 }),
        (values, parts, cuts) => {
          const whole = parts.map((part) => (typeof part === "string" ? part : (values[part] ?? ""))).join("");
          expect(mask(values, cut(whole, cuts))).toBe(maskWhole(values, whole));
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it("masks as if it saw the whole text at once, with values that begin alike, overlap and hold line feeds and long characters", () => {
    fc.assert(
      fc.property(relatedValues(), textParts(), fc.array(fc.nat(80), { maxLength: 12 }), (values, parts, cuts) => {
        const whole = parts.map(([value, from, to]) => (values[value % values.length] ?? "").slice(from, to)).join("");
        expect(mask(values, cut(whole, cuts))).toBe(maskWhole(values, whole));
      }),
      { numRuns: 10_000 },
    );
  });

  it("leaves nothing of a value in the output of all filters of a stream, and nothing else out", () => {
    fc.assert(
      fc.property(relatedValues(), textParts(), fc.array(fc.nat(80), { maxLength: 12 }), (values, parts, cuts) => {
        const whole = parts.map(([value, from, to]) => (values[value % values.length] ?? "").slice(from, to)).join("");
        const chain = new FilterChain({
          source: "job",
          channel: "stdout",
          phrases: compilePhrases(values),
          tokenPrefixes: compileTokenPrefixes([]),
          timestamps: false,
          now: () => 0,
        });
        const outputs = cut(whole, cuts).map((write) => Buffer.from(chain.push(write, true)));
        const masked = Buffer.from(maskWhole(values, whole), "latin1");
        // A value that ends in the middle of a character leaves bytes that are no text.
        expect(Buffer.concat([...outputs, chain.end()])).toEqual(repaired(masked));
      }),
      { numRuns: 10_000 },
    );
  });
});

/** Starts, ends and middles of one text: each of them begins like, ends like or lies in another. */
function relatedValues(): fc.Arbitrary<string[]> {
  const unit = fc.constantFrom("a", "b", "é", "€", "😀", "\n", "\r\n", " ");
  const range = fc.tuple(fc.nat(8), fc.integer({ min: 1, max: 12 }));
  return fc
    .tuple(fc.string({ unit, minLength: 1, maxLength: 12 }), fc.array(range, { maxLength: 6 }))
    .map(([whole, ranges]) => [whole, ...ranges.map(([from, length]) => whole.slice(from, from + length))]);
}

/** Which part of which value comes next. */
function textParts(): fc.Arbitrary<[number, number, number][]> {
  return fc.array(fc.tuple(fc.nat(6), fc.nat(3), fc.integer({ min: 1, max: 14 })), { maxLength: 14 });
}

function repaired(bytes: Buffer): Buffer {
  const repairer = new Utf8Repairer();
  return Buffer.concat([Buffer.from(repairer.push(bytes)), repairer.end()]);
}

function mask(values: readonly string[], writes: readonly (string | Buffer)[]): string {
  const masker = new PhraseMasker(compilePhrases(values));
  const outputs = writes.map((write) => Buffer.from(masker.push(Buffer.from(write as string))));
  return Buffer.concat([...outputs, masker.end()]).toString("latin1");
}

function cut(whole: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(whole);
  const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place));
}

/** The definition: every byte of every occurrence is masked, one mask for occurrences that overlap. */
function maskWhole(values: readonly string[], whole: string): string {
  const text = Buffer.from(whole).toString("latin1");
  const phrases = values
    .map((value) => Buffer.from(value.replaceAll(/^[\s\u0085]+|[\s\u0085]+$/gu, "")).toString("latin1"))
    .filter((phrase) => phrase !== "");
  const found: { start: number; end: number }[] = [];
  for (let start = 0; start < text.length; start += 1) {
    const lengths = phrases.filter((phrase) => text.startsWith(phrase, start)).map((phrase) => phrase.length);
    if (lengths.length === 0) continue;
    const end = start + Math.max(...lengths);
    const last = found.at(-1);
    if (last !== undefined && last.end > start) last.end = Math.max(last.end, end);
    else found.push({ start, end });
  }
  let masked = "";
  let at = 0;
  for (const { start, end } of found) {
    masked += `${text.slice(at, start)}[MASKED]`;
    at = end;
  }
  return masked + text.slice(at);
}
