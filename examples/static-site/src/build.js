import { createHash } from "node:crypto";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { contentsPage, notePage } from "./page.js";
import { readNotes } from "./notes.js";

// Pages that were rendered before lie in .render-cache under the digest of their note; only new ones are rendered.
const notes = await readNotes("notes");
await mkdir("public", { recursive: true });
await mkdir(".render-cache", { recursive: true });

let rendered = 0;
for (const note of notes) {
  const cached = `.render-cache/${createHash("sha256").update(note.html).digest("hex")}.html`;
  try {
    await copyFile(cached, `public/${note.slug}.html`);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    await writeFile(cached, notePage(note));
    await copyFile(cached, `public/${note.slug}.html`);
    rendered += 1;
  }
}
await writeFile("public/index.html", contentsPage(process.env.SITE_TITLE ?? "Field notes", notes));
console.log(`${notes.length} notes: ${rendered} rendered, ${notes.length - rendered} taken from the cache`);
