import { describe, expect, it } from "vitest";
import { transferLine } from "./transfer-line.ts";

const transfer = (bytes: number) => ({ direction: "download", key: "gems", bytes, totalBytes: 2_000_000 }) as const;

describe("the line of a transfer", () => {
  function shown(isTerminal: boolean): string[] {
    const written: string[] = [];
    const line = transferLine({ write: (text) => written.push(text), isTerminal, columns: 80 });
    for (const bytes of [0, 1, 1_000_000, 2_000_000]) line.show(transfer(bytes));
    line.close();
    return written;
  }

  it("is a bar that grows on a terminal, and goes in the end", () => {
    expect(shown(true)).toEqual([
      "\r\u001B[2Kdownload [........................] 0 B of 2.0 MB",
      "\r\u001B[2Kdownload [........................] 1 B of 2.0 MB",
      "\r\u001B[2Kdownload [############............] 1.0 MB of 2.0 MB",
      "\r\u001B[2Kdownload [########################] 2.0 MB of 2.0 MB",
      "\r\u001B[2K",
    ]);
  });

  it("is nothing elsewhere", () => {
    expect(shown(false)).toEqual([]);
  });
});
