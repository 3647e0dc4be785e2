// The part of archiver's own zip writer that is used here; the package has no types.
declare module "compress-commons" {
  import type { Transform } from "node:stream";

  export class ZipArchiveEntry {
    constructor(name: string);
    getName(): string | Buffer;
    isDirectory(): boolean;
    getGeneralPurposeBit(): { useUTF8ForNames(uses: boolean): void };
    setExtra(extra: Buffer): void;
    setExternalAttributes(attributes: number): void;
    setMethod(method: number): void;
    setPlatform(platform: number): void;
    setTime(time: Date, isLocal: boolean): void;
  }

  export class ZipArchiveOutputStream extends Transform {
    constructor(options: { readonly zlib: { readonly level: number }; readonly forceLocalTime: boolean });
    entry(
      entry: ZipArchiveEntry,
      source: Buffer | NodeJS.ReadableStream,
      callback: (error: Error | null) => void,
    ): this;
    finish(): void;
  }
}
