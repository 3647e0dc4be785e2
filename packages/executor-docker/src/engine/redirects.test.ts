import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { openEngine } from "./engine.ts";

it("does not follow an engine that sends it elsewhere, and survives it", async () => {
  const paths: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url);
    response.writeHead(301, { location: "http://engine.invalid/elsewhere" }).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = await openEngine({ host: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` });
  await expect(client.call("tell its version", (docker) => docker.version())).rejects.toThrow(/redirect/i);
  expect(paths).toEqual(["/version"]);
  client.close();
  server.closeAllConnections();
  server.close();
});
