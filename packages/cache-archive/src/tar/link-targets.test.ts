import { expect, it } from "vitest";

import { COLUMN, COLUMNS } from "../restore/restore-columns.ts";
import { RestoreRows } from "../restore/restore-rows.ts";
import { LinkTargets } from "./link-targets.ts";

const LINK = { kind: "symlink", mode: 0o777, mtimeMs: 0, bytes: 0, owner: undefined } as const;

it("keeps the targets of the links of one frame for every thread, but for those that no header holds", () => {
  const rows = new RestoreRows();
  // Entries 0 to 5, of which 1, 2, 4 and 5 are links.
  for (const frame of [0, 0, 3, 3, 3, 8])
    rows.numbers[rows.addEntry(Buffer.from("a"), LINK) * COLUMNS + COLUMN.frame] = frame;
  const shared = LinkTargets.share([1, 2, 4, 5]);
  const targets: Readonly<Record<number, string>> = { 2: "../b", 4: "c".repeat(101) };
  new LinkTargets(shared).keep(3, rows.table, (link) => Buffer.from(targets[link] ?? "of another frame"));
  const other = new LinkTargets(shared);
  expect([0, 1, 2, 3, 4, 5].map((entry) => other.get(entry)?.toString())).toEqual([
    undefined,
    undefined,
    "../b",
    undefined,
    undefined,
    undefined,
  ]);
});

it("keeps nothing of more links than there is memory for", () => {
  const links = Array.from({ length: 20_001 }, (_, link) => link);
  const targets = new LinkTargets(LinkTargets.share(links));
  targets.keep(0, new RestoreRows(undefined, links.length).table, () => Buffer.from("a"));
  expect(targets.get(0)).toBeUndefined();
});
