import type { Digest } from "../reference/grammar.ts";
import { digestOf } from "../reference/hash.ts";
import { maxManifestBytes } from "../reference/manifest.ts";
import type { Disk } from "./disk.ts";

/** Bytes of manifests, checked whenever they come from the disk; those in use stay in memory. */
export class ManifestStore {
  readonly #disk: Disk;
  readonly #memory = new Map<Digest, Uint8Array>();
  #memoryBytes = 0;
  readonly #storing = new Map<Digest, Promise<void>>();
  #storingBytes = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Those in memory, without waiting. */
  peek(digest: Digest): Uint8Array | undefined {
    const bytes = this.#memory.get(digest);
    if (bytes === undefined) return undefined;
    this.#memory.delete(digest);
    this.#memory.set(digest, bytes);
    return bytes;
  }

  has(digest: Digest): boolean {
    return this.#memory.has(digest) || this.#disk.has(digest);
  }

  async get(digest: Digest): Promise<Uint8Array | undefined> {
    const known = this.peek(digest);
    if (known !== undefined) return known;
    const opened = await this.#disk.openBlob(digest);
    if (opened === undefined) return undefined;
    try {
      if (opened.bytes > maxManifestBytes) return undefined;
      const bytes = await opened.handle.readFile();
      if (digestOf(bytes, digest) === digest) {
        opened.markVerified();
        this.#remember(digest, bytes);
        return bytes;
      }
    } catch {
      // The upstream is asked.
      return undefined;
    } finally {
      await opened.handle.close();
    }
    await this.#disk.discardDamaged(digest);
    return undefined;
  }

  /**
   * Keeps a manifest: in memory at once, on the disk in the background; on a full or overburdened disk in memory only.
   *
   * @param onStored - called once it lies on the disk
   */
  put(digest: Digest, bytes: Uint8Array, onStored: () => void = () => {}): void {
    this.#remember(digest, bytes);
    if (this.#disk.has(digest)) return onStored();
    if (this.#storing.has(digest) || this.#storingBytes + bytes.byteLength > maxStoringBytes) return;
    this.#storing.set(digest, this.#store(digest, bytes, onStored));
  }

  async remove(digest: Digest): Promise<void> {
    this.#forget(digest);
    // It would come back otherwise.
    await this.#storing.get(digest);
    await this.#disk.remove(digest);
  }

  /** Waits for what goes on in the background. */
  async close(): Promise<void> {
    while (this.#storing.size > 0) await Promise.all(this.#storing.values());
  }

  async #store(digest: Digest, bytes: Uint8Array, onStored: () => void): Promise<void> {
    this.#storingBytes += bytes.byteLength;
    try {
      await this.#disk.store(digest, bytes);
    } catch {
      // The disk has told of it. Memory has the manifest, and the upstream has it.
    } finally {
      this.#storing.delete(digest);
      this.#storingBytes -= bytes.byteLength;
    }
    if (this.#disk.has(digest)) onStored();
  }

  #remember(digest: Digest, bytes: Uint8Array): void {
    this.#forget(digest);
    this.#memory.set(digest, bytes);
    this.#memoryBytes += bytes.byteLength;
    for (const oldest of this.#memory.keys()) {
      if (this.#memoryBytes <= maxMemoryBytes) return;
      this.#forget(oldest);
    }
  }

  #forget(digest: Digest): void {
    const bytes = this.#memory.get(digest);
    if (bytes === undefined) return;
    this.#memory.delete(digest);
    this.#memoryBytes -= bytes.byteLength;
  }
}

const maxMemoryBytes = 32 * 1024 * 1024;
/** What may wait for the disk. */
const maxStoringBytes = 32 * 1024 * 1024;
