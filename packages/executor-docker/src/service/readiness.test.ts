import { expect, it } from "vitest";
import { parseListeners } from "./readiness.ts";

it("finds the ports that others can reach in the kernel's table, and none that only the service itself can", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue",
    "   0: 00000000:1538 00000000:0000 0A 00000000:00000000",
    "   1: 0100007F:18EB 00000000:0000 0A 00000000:00000000",
    "   2: 020011AC:1F90 010011AC:D431 01 00000000:00000000",
    "   3: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A",
    "   4: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A",
  ].join("\n");
  expect([...parseListeners(table)]).toEqual([5432, 80]);
});
