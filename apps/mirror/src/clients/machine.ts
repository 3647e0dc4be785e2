import { access, readFile } from "node:fs/promises";

/** Interface of the default route; undefined when there is none, or it cannot be told on this system. */
export async function routeInterface(): Promise<string | undefined> {
  const table = await readFile("/proc/net/route", "utf8").catch(() => "");
  for (const line of table.split("\n").slice(1)) {
    const [name, destination] = line.split("\t");
    if (destination === "00000000") return name;
  }
  return undefined;
}

/** Whether this process runs in a container, whose addresses are its own. */
export async function isContainer(): Promise<boolean> {
  for (const path of ["/.dockerenv", "/run/.containerenv"]) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return true;
  }
  return false;
}
