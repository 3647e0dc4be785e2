import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNote, readNotes } from "../src/notes.js";

test("a note has a date, a slug and a title", () => {
  const note = parseNote("2026-03-01-first.md", "# First light\n\nHello.");
  assert.equal(note.date, "2026-03-01");
  assert.equal(note.slug, "first");
  assert.equal(note.title, "First light");
});

test("a note without a heading is refused by name", () => {
  assert.throws(() => parseNote("2026-03-01-first.md", "Hello."), /2026-03-01-first\.md/);
});

test("a file name without a date is refused", () => {
  assert.throws(() => parseNote("first.md", "# First"), /YYYY-MM-DD/);
});

test("the notes of a folder come oldest first", async () => {
  const dates = (await readNotes("notes")).map((note) => note.date);
  assert.deepEqual(dates, [...dates].sort());
  assert.ok(dates.length >= 3);
});
