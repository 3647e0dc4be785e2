import { expect, it } from "vitest";
import { parseEngineAddress } from "./address.ts";

it.each([
  ["tcp://[fd00::80]", "fd00::80", 2375],
  ["tcp://[fd00::80]:80", "fd00::80", 80],
  ["tcp://engine.example.com:80", "engine.example.com", 80],
  ["tcp://engine.example.com:8080", "engine.example.com", 8080],
  ["https://engine.example.com", "engine.example.com", 2376],
])("finds host and port in %s", (host, hostName, port) => {
  expect(parseEngineAddress({ host }).place).toEqual({ hostName, port });
});
