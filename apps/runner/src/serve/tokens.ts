import { randomBytes, randomUUID } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.ts";

/** What runners introduce themselves with. They stay the same for a state directory, so that registered runners go on. */
export interface ServeTokens {
  /** For runners that register with an authentication token. */
  readonly runner: string;
  /** For older runners, which get a token of their own for it. */
  readonly registration: string;
}

/**
 * Reads the tokens of a state directory, or makes them.
 *
 * @throws {UsageError} the file holds something else
 */
export async function loadTokens(stateDirectory: string): Promise<ServeTokens> {
  const path = join(stateDirectory, "tokens.json");
  const text = await readIfThere(path);
  if (text !== undefined) return parseTokens(text, path);
  const tokens = { runner: `glrt-${randomBytes(10).toString("hex")}`, registration: randomBytes(10).toString("hex") };
  const own = `${path}.${randomUUID()}`;
  const file = await open(own, "wx", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(tokens, undefined, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(own, path);
  return tokens;
}

function parseTokens(text: string, path: string): ServeTokens {
  try {
    const { runner, registration } = JSON.parse(text) as Partial<Record<keyof ServeTokens, unknown>>;
    if (typeof runner === "string" && typeof registration === "string") return { runner, registration };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new UsageError(`${path} does not hold the tokens of runners.`, {
    cure: "Remove it; runners must then be registered again.",
  });
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
