import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNote } from "../src/notes.js";
import { contentsPage, notePage } from "../src/page.js";

const note = parseNote("2026-03-01-first.md", "# First & last\n\nSee [next](second.html).");

test("a page carries its title, escaped", () => {
  assert.match(notePage(note), /<title>First &amp; last<\/title>/);
});

test("a page carries its links", () => {
  assert.match(notePage(note), /<a href="second\.html">next<\/a>/);
});

test("the contents list every note", () => {
  assert.match(contentsPage("Site", [note]), /href="first\.html"/);
});
