import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { marked } from "marked";

/** Reads every note of a folder, oldest first. */
export async function readNotes(folder) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".md"));
  const notes = await Promise.all(names.map(async (name) => parseNote(name, await readFile(join(folder, name), "utf8"))));
  return notes.sort((left, right) => left.date.localeCompare(right.date));
}

/** Turns the text of a note into its title, date, plain words and HTML. The file name begins with the date. */
export function parseNote(fileName, text) {
  const match = /^(\d{4}-\d{2}-\d{2})-(.+)\.md$/.exec(fileName);
  if (match === null) throw new Error(`${fileName}: the name of a note is YYYY-MM-DD-slug.md`);
  const title = /^# (.+)$/m.exec(text)?.[1];
  if (title === undefined) throw new Error(`${fileName}: a note begins with a heading`);
  return {
    date: match[1],
    slug: match[2],
    title,
    words: text.replaceAll(/[^\p{L}\p{N}\s]/gu, " ").trim(),
    html: marked.parse(text),
    links: [...text.matchAll(/\]\(([^)]+)\)/g)].map((link) => link[1]),
    file: basename(fileName),
  };
}
