import { expect, it } from "vitest";
import { parseInvocation } from "../arguments.ts";
import { commands } from "../commands.ts";
import { testContext } from "../testing/context.ts";
import { readServeOptions } from "./options.ts";

it.each([
  [[], "127.0.0.1", 8080],
  [["--listen", ":9000"], "127.0.0.1", 9000],
  [["--listen", "0.0.0.0:9000"], "0.0.0.0", 9000],
  [["--listen", "[::1]:9000"], "::1", 9000],
])("lets other machines in only when they are meant: %j", async (words, host, port) => {
  const command = commands.find(({ name }) => name === "coordinator");
  if (command === undefined) throw new Error("there is no such command");
  const options = await readServeOptions(parseInvocation(command, words, {}), testContext());
  expect(options).toMatchObject({ host, port });
});
