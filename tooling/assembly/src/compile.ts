import { createHash } from "node:crypto";

/** The part of the compiler that is used here. Its own types would declare their globals for the whole workspace. */
interface Compiler {
  readonly version: string;
  main(
    args: readonly string[],
    system: {
      readFile(path: string): string | null;
      writeFile(path: string, contents: string | Uint8Array): void;
      listFiles(): readonly string[];
      readonly stderr: { write(text: string): void };
    },
  ): Promise<{ readonly error: Error | null }>;
}

const { main, version } = (await import(import.meta.resolve("assemblyscript/asc"))) as Compiler;

// Memory is what the module makes of it: nothing is allocated, collected or checked by a runtime.
const OPTIONS = "-O3 --runtime stub --noAssert --use abort= --initialMemory 1 --enable simd".split(" ");

/** What a source and all that it is compiled with come to: the same stamp means the same module. */
export function sourceStamp(source: string): string {
  return createHash("sha256")
    .update(JSON.stringify([version, OPTIONS, source]))
    .digest("hex");
}

/**
 * Compiles one file that imports no other.
 *
 * @returns the binary module
 * @throws {Error} with the compiler's messages
 */
export async function compileAssembly(name: string, source: string): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  let messages = "";
  const { error } = await main([name, ...OPTIONS, "--outFile", "module.wasm"], {
    readFile: (path) => (path === name ? source : null),
    writeFile(_path, contents) {
      if (typeof contents !== "string") binary = contents;
    },
    listFiles: () => [],
    stderr: {
      write(text) {
        messages += text;
      },
    },
  });
  if (error !== null || binary === undefined)
    throw new Error(`${name} does not compile:\n${messages}`, { cause: error });
  return binary;
}
