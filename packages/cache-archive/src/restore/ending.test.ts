import { expect, it } from "vitest";

import { addEnding } from "./ending.ts";
import { LINKS, restoreUnitAt, RestoreUnits } from "./units.ts";

it("gives the links that one part of the archive holds to one participant, and others to others", () => {
  const units = new RestoreUnits();
  // Three links in one part, one in another, and more in a third than one participant does at once.
  const parts = [0, 0, 0, 4, ...Array.from({ length: 130 }, () => 7)];
  addEnding(units, 2, [...parts.keys()], { sorted: [902], open: 1 }, [902], (link) => parts[link] ?? -1);
  expect(linkUnits(units)).toEqual([
    [2, 3],
    [5, 1],
    [6, 128],
    [134, 2],
  ]);
});

it("makes no unit for links where there are none", () => {
  const units = new RestoreUnits();
  addEnding(units, 1, [], { sorted: [], open: 0 }, [], () => 0);
  expect(linkUnits(units)).toEqual([]);
});

function linkUnits(units: RestoreUnits): [first: number, count: number][] {
  const rows = new Float64Array(units.share());
  return Array.from({ length: units.length }, (_, unit) => restoreUnitAt(rows, unit))
    .filter(({ kind }) => kind === LINKS)
    .map(({ first, count }) => [first, count]);
}
