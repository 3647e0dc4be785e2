/** The daemon's file as it is to be, or why it cannot be changed. */
export type DaemonJsonChange = { readonly text: string; readonly isChanged: boolean } | { readonly problem: string };

const key = "registry-mirrors";

/**
 * Adds a mirror to the front of the list in a `daemon.json`, or takes it out. Other keys and their order stay.
 *
 * @param text - of the file; undefined when there is none
 */
export function changeDaemonJson(text: string | undefined, url: string, action: "add" | "remove"): DaemonJsonChange {
  const parsed = parse(text ?? "");
  if (parsed === undefined) return { problem: "it is no JSON object; correct it first" };
  const before = parsed[key];
  if (before !== undefined && !(Array.isArray(before) && before.every((item) => typeof item === "string"))) {
    return { problem: `its ${key} is no list of texts; correct it first` };
  }
  const mirrors: readonly string[] = before ?? [];
  const others = mirrors.filter((mirror) => normal(mirror) !== normal(url));
  const after = action === "add" ? [url, ...others] : others;
  if (after.length === mirrors.length && after.every((mirror, index) => mirror === mirrors[index])) {
    return { text: text ?? "", isChanged: false };
  }
  const { [key]: _before, ...rest } = parsed;
  // In place, where it was; an emptied list goes.
  const changed =
    after.length === 0
      ? rest
      : before === undefined
        ? { ...parsed, [key]: after }
        : Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, name === key ? after : value]));
  return { text: `${JSON.stringify(changed, null, indentOf(text))}\n`, isChanged: true };
}

/** Whether the command line of a unit sets mirrors by flag; dockerd then refuses the same key in its file. */
export function unitSetsMirrors(unit: string): boolean {
  const commands = unit
    .replaceAll(/\\\n/g, " ")
    .split("\n")
    .filter((line) => /^\s*(?:ExecStart|Environment)\s*=/.test(line));
  return commands.some((line) => /--registry-mirror\b/.test(line));
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

function indentOf(text: string | undefined): string | number {
  return /^\{\s*\n([ \t]+)"/.exec(text ?? "")?.[1] ?? 2;
}

function normal(url: string): string {
  return url.replace(/\/+$/, "");
}
