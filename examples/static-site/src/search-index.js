import { mkdir, writeFile } from "node:fs/promises";
import lunr from "lunr";
import { readNotes } from "./notes.js";

const notes = await readNotes("notes");
const index = lunr(function () {
  this.ref("slug");
  this.field("title", { boost: 5 });
  this.field("words");
  for (const note of notes) this.add(note);
});
await mkdir("search", { recursive: true });
await writeFile("search/index.json", JSON.stringify(index));
console.log(`Search index of ${notes.length} notes written`);
