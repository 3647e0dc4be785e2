import { createHmac, randomInt } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const FILE_NAME = ".runner_system_id";
const FORM = /^[sr]_[0-9a-zA-Z]{12}$/;
const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const MACHINE_ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/**
 * Reads the name of this machine from beside the configuration, or makes it.
 *
 * @param options.warn - told when the file cannot be written; the name then changes with every start unless the machine has an id
 * @see coordinator-protocol 3.6
 */
export async function loadSystemId(
  directory: string,
  options: { readonly warn: (message: string) => void },
): Promise<string> {
  const path = join(directory, FILE_NAME);
  const stored = (await readIfThere(path))?.trim();
  if (stored !== undefined && FORM.test(stored)) return stored;
  const machineId = (await readMachineId())?.trim();
  const systemId = machineId ? systemIdOf(machineId) : randomSystemId();
  try {
    await writeFile(path, systemId, { mode: 0o600 });
  } catch (error) {
    options.warn(
      `The system id could not be kept in ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return systemId;
}

/** The name of a machine that has an id. */
export function systemIdOf(machineId: string): string {
  return `s_${createHmac("sha256", machineId).update("gitlab-runner").digest("hex").slice(0, 12)}`;
}

function randomSystemId(): string {
  return `r_${Array.from({ length: 12 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("")}`;
}

async function readMachineId(): Promise<string | undefined> {
  for (const path of MACHINE_ID_FILES) {
    const text = await readIfThere(path);
    if (text !== undefined) return text;
  }
  return undefined;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "EACCES", "ENOTDIR"].includes(String(error.code)))
      return undefined;
    throw error;
  }
}
