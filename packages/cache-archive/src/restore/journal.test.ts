import { mkdirSync, renameSync } from "node:fs";

import { expect, it } from "vitest";

import { makeScratch } from "../test-support/scratch.ts";
import { inTurns } from "../turn.ts";
import { prepareJournal, readJournal, readJournalHead, writeJournal } from "./journal.ts";

const PREPARED = [{ target: "a", entry: { mode: 0o755, mtimeMs: 1000, owner: undefined } }];
const LATER = [{ target: "b", entry: { mode: 0o700, mtimeMs: 2000, owner: { uid: 1, gid: 2 } } }];

it.each([
  ["is the one that was prepared, which says nothing before", false, PREPARED],
  ["is written anew when another folder has come into the place of the root", true, LATER],
])("the journal of a restore %s", async (_what, isReplaced, expected) => {
  await using scratch = await makeScratch();
  const [root, staging] = [scratch.at("root"), scratch.at("staging")];
  mkdirSync(root);
  mkdirSync(staging, { mode: 0o700 });
  await inTurns(prepareJournal(root, staging, PREPARED), undefined);
  expect(readJournalHead(root, staging)).toBe("nothing");
  if (isReplaced) {
    renameSync(root, scratch.at("elsewhere"));
    mkdirSync(root);
  }
  await inTurns(writeJournal(root, staging, LATER), undefined);
  expect(readJournalHead(root, staging)).toBe("begun");
  expect([...readJournal(staging)]).toEqual(expected);
});
