import { expect, it } from "vitest";
import { noopLogger } from "../logger.ts";
import { collectingLogger } from "../testing/serve.ts";
import { WithdrawalWriter } from "./withdrawal-writer.ts";

const place = { upstream: { id: "hub" }, name: "org/app" };

it.each([0, 1, 2, 3, 4, 5])("writes an era that comes %i turns after the one before was written", async (turns) => {
  const written: string[] = [];
  let later: Promise<void> | undefined;
  const writer = new WithdrawalWriter({
    disk: {
      removeFolder: async () => {},
      async writeDurably(_name, era) {
        written.push(era);
        if (era === "one") later = writeLater();
      },
    },
    records: { forget: async () => {} },
    logger: noopLogger,
  });
  async function writeLater(): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    await writer.write(place, "two");
  }
  await writer.write(place, "one");
  await later;
  expect(written).toEqual(["one", "two"]);
});

it("tells once of what a broken disk does not take, however often it is tried", async () => {
  const log: string[] = [];
  let tries = 0;
  const fail = (): Promise<void> => Promise.reject(new Error("EIO"));
  const writer = new WithdrawalWriter({
    disk: {
      removeFolder: fail,
      writeDurably() {
        tries += 1;
        return fail();
      },
    },
    records: { forget: async () => {} },
    logger: collectingLogger(log),
  });
  await writer.write(place, "one");
  for (let round = 0; round < 3; round += 1) await writer.flush();
  expect(tries).toBe(4);
  expect(log).toHaveLength(1);
});
