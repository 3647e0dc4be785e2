import { expect, it } from "vitest";

import { formatBytes } from "./format-bytes.ts";

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [1101, "1.10 kB"],
  [999_994, "999.99 kB"],
  [999_995, "1.00 MB"],
  [1_110_000, "1.11 MB"],
  [2_500_000_000, "2.50 GB"],
])("writes %i bytes as %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
