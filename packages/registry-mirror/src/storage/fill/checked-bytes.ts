import type { Hash } from "node:crypto";
import { UpstreamError } from "../../errors.ts";
import type { Digest } from "../../reference/grammar.ts";
import { hashFor, isDigestOf } from "../../reference/hash.ts";

/** What a hash has seen so far. */
export interface CheckedStart {
  readonly hash: Hash;
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

/** Length and digest of bytes that arrive, against what they ought to be. */
export class CheckedBytes {
  readonly #digest: Digest;
  readonly #expectedBytes: number | undefined;
  /** Names who sent them. */
  readonly #sender: () => string;
  #hash: Hash;
  #bytes = 0;
  #totalBytes: number | undefined;
  #isVerified = false;

  /** @param expectedBytes - length according to somebody else than the sender */
  constructor(digest: Digest, expectedBytes: number | undefined, sender: () => string) {
    this.#digest = digest;
    this.#expectedBytes = expectedBytes;
    this.#sender = sender;
    this.#hash = hashFor(digest);
    this.#totalBytes = expectedBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get totalBytes(): number | undefined {
    return this.#totalBytes;
  }

  /** Whether all bytes are here and right. */
  get isVerified(): boolean {
    return this.#isVerified;
  }

  get isTooShort(): boolean {
    return this.#totalBytes !== undefined && this.#bytes < this.#totalBytes;
  }

  /** What a later fill needs to go on. */
  get state(): CheckedStart {
    return { hash: this.#hash, bytes: this.#bytes, totalBytes: this.#totalBytes };
  }

  /** Goes on where another one ended. */
  continue({ bytes, hash, totalBytes }: CheckedStart): void {
    this.#hash = hash;
    this.#bytes = bytes;
    this.#totalBytes = totalBytes ?? this.#expectedBytes;
  }

  /**
   * Notes the length that the sender tells, if it does.
   *
   * @throws {UpstreamError} it is not what was known already
   */
  announce(totalBytes: number | undefined): void {
    if (totalBytes === undefined) return;
    const known = this.#bytes > 0 ? this.#totalBytes : this.#expectedBytes;
    if (known !== undefined && known !== totalBytes) throw this.#wrong("the blob has another length than announced");
    this.#totalBytes = totalBytes;
  }

  /** @throws {UpstreamError} there are more than announced */
  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.byteLength;
    if (this.#totalBytes !== undefined && this.#bytes > this.#totalBytes)
      throw this.#wrong("the blob is longer than announced");
  }

  /** @throws {UpstreamError} the bytes do not fit the digest */
  verify(): void {
    if (!isDigestOf(this.#digest, this.#hash)) throw this.#wrong("the bytes do not fit the digest");
    this.#totalBytes = this.#bytes;
    this.#isVerified = true;
  }

  #wrong(reason: string): UpstreamError {
    return new UpstreamError({ code: "wrong-bytes", upstream: this.#sender(), reason });
  }
}
