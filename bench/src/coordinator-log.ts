import { createWriteStream } from "node:fs";
import { once } from "node:events";

const WORDS = (
  "compiling module linking object file warning: unused variable in function src/lib/main.c:42:17 note: expanded from macro done 100% " +
  "[=====>\u0020\u0020\u0020] https://example.com/package?page=2&size=10 node_modules/.pnpm/typescript/node_modules/typescript/lib ✓ käse 2026-11-21T10:00:00Z"
).split(" ");

const WORDS_OF_SECRETS = ["s3cretvalue", "hunter2hunter2", "AKIAEXAMPLEKEY", "correct-horse", "pa55phrase"];

/** What the benchmark hides in its log. */
export const SECRETS: readonly string[] = Array.from(
  { length: 20 },
  (_, index) =>
    `${WORDS_OF_SECRETS[index % WORDS_OF_SECRETS.length]}-${(index * 7919 + 104_729).toString(36)}-${index}`,
);

/** Writes lines as compilers and package managers print them; one in a hundred holds a secret. */
export async function writeLog(path: string, bytes: number): Promise<void> {
  const block = Buffer.from(makeLines(BLOCK_BYTES));
  const file = createWriteStream(path);
  for (let written = 0; written < bytes; written += block.length) {
    if (!file.write(block.subarray(0, bytes - written))) await once(file, "drain");
  }
  file.end();
  await once(file, "close");
}

const BLOCK_BYTES = 4 * 1024 * 1024;
const LINES_PER_SECRET = 100;

function makeLines(bytes: number): string {
  let seed = 1;
  const pick = (count: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * count);
  };
  const lines: string[] = [];
  let length = 0;
  while (length < bytes) {
    const words = Array.from({ length: 4 + pick(12) }, () => WORDS[pick(WORDS.length)]);
    if (lines.length % LINES_PER_SECRET === 0) words.push(`key=${SECRETS[pick(SECRETS.length)]}`);
    const line = `${words.join(" ")}\n`;
    lines.push(line);
    length += line.length;
  }
  return lines.join("");
}
