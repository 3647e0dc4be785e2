import { spawn } from "node:child_process";
import { once } from "node:events";
import type { CacheStore } from "../store.ts";
import { readBytes } from "./bodies.ts";

export interface KillUploadsOptions {
  /** A store like the one that the processes write to. */
  readonly store: CacheStore;
  /** Text of a module that has the same store as its constant `store`. */
  readonly module: string;
  /** How many processes are killed. */
  readonly kills: number;
  /** From 0 up to, not including, 1. @default Math.random */
  readonly random?: () => number;
}

/** What readers saw while uploads were killed. */
export interface KillUploadsResult {
  readonly kills: number;
  /** How often a reader found a whole object after a kill; must be `kills`. */
  readonly wholeObjects: number;
  /** Objects that were not; must be empty. */
  readonly broken: readonly string[];
}

/**
 * Kills processes at random moments while they put one name again and again, and reads it after each kill: what is visible is
 * always one whole body. Each body is one byte again and again, and its length follows from that byte.
 *
 * @throws {Error} a process ended by itself, so that nothing was proved
 */
export async function killUploads(options: KillUploadsOptions): Promise<KillUploadsResult> {
  const { store, module, kills, random = Math.random } = options;
  const broken: string[] = [];
  let wholeObjects = 0;
  // So that there is something to be broken from the first kill on.
  const first = new Uint8Array(lengthOf(0));
  await store.put(name, { bytes: first.byteLength, open: () => new Blob([first]).stream() });
  for (let round = 0; round < kills; round += 1) {
    const child = spawn(
      process.execPath,
      ["--conditions=@fleetfoot/source", "--input-type=module", "-e", `${module}\n${script}`, String(round % 2)],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const closed = once(child, "close");
    // From the first byte that is sent, at any moment of the uploads that follow.
    await Promise.race([once(child.stdout, "data"), closed]);
    await new Promise((resolve) => setTimeout(resolve, random() * longestLifeMs));
    child.kill("SIGKILL");
    const [code, signal] = await closed;
    // What ends by itself was not killed while it put anything: nothing would be broken, and nothing proved.
    if (signal !== "SIGKILL") throw new Error(`the process that uploads ended by itself with ${String(code)}`);
    const object = await store.get(name);
    const bytes = (await readBytes(object)) ?? new Uint8Array();
    const byte = bytes[0] ?? 0;
    const isWhole = bytes.byteLength === lengthOf(byte) && bytes.every((each) => each === byte);
    if (isWhole && object?.facts.bytes === bytes.byteLength) wholeObjects += 1;
    else broken.push(`after kill ${round}: ${bytes.byteLength} bytes that begin with ${byte}`);
  }
  return { kills, wholeObjects, broken };
}

const name = "dir/killed";
const longestLifeMs = 150;

function lengthOf(byte: number): number {
  return 6_000_000 + byte * 100_003;
}

const script = `
const seed = Number(process.argv[1]);
// Every other process sends one part after the other, as jobs do that do not ask for more.
const concurrency = seed === 0 ? 1 : undefined;
let told = false;
for (let round = 0; ; round += 1) {
  const byte = (round * 2 + seed) % 100;
  const bytes = 6_000_000 + byte * 100_003;
  const content = new Uint8Array(bytes).fill(byte);
  const open = () => new Blob([content]).stream();
  const openRange = (start, end) => new Blob([content.subarray(start, end)]).stream();
  const onProgress = () => {
    if (!told) console.log("sending");
    told = true;
  };
  await store.put("${name}", { bytes, open, openRange }, { onProgress, concurrency });
}
`;
