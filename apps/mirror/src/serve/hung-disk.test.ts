import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";

const run = promisify(execFile);

it.each([
  { as: "any process", isFirst: false, end: "SIGTERM" },
  { as: "the first process of a container", isFirst: true, end: 143 },
])(
  "serve ends when it is told to as $as, although a call of the system never ends, and says so",
  async (row) => {
    const layer = randomBytes(100_000);
    const hex = createHash("sha256").update(layer).digest("hex");
    const hub = createServer((_request, response) => response.end(layer)).listen(0, "127.0.0.1");
    await once(hub, "listening");
    const data = await mkdtemp(join(tmpdir(), "mirror-app-"));
    const upstream = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    const { end, isFirst } = row;
    const words = ["--data", data, "--upstream", upstream, "--listen", "127.0.0.1:0"];
    await using mirror = await startMirror(words, {}, { isFirst });
    const pull = async (): Promise<boolean> => {
      const { body } = await fetch(`${mirror.url}/v2/library/app/blobs/sha256:${hex}`);
      return Buffer.from(await new Response(body).arrayBuffer()).equals(layer);
    };
    expect(await pull()).toBe(true);
    const file = join(data, "blobs", "sha256", hex.slice(0, 2), hex);
    await expect
      .poll(() =>
        stat(file).then(
          ({ size }) => size,
          () => 0,
        ),
      )
      .toBe(layer.byteLength);
    // The end of a pipe that nobody writes to lets an open hang, as a file of a server that is gone does.
    await rm(file);
    await run("mkfifo", [file]);
    expect(await pull()).toBe(true);
    mirror.kill("SIGTERM");
    expect(await mirror.ended).toBe(end);
    expect(mirror.output()).toContain("ended although a call of the system goes on: does the disk answer?");
    hub.closeAllConnections();
    hub.close();
    await rm(data, { recursive: true });
  },
  60_000,
);

it("serve that fails by itself ends with its code, also when something keeps the process", async () => {
  const data = await mkdtemp(join(tmpdir(), "mirror-app-"));
  const [certFile, keyFile] = [join(data, "tls.crt"), join(data, "tls.key")];
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-subj",
    "/CN=m",
  ];
  const { stdout: certificate } = await run("openssl", [...request, "-keyout", keyFile]);
  await run("mkfifo", [certFile]);
  const words = ["serve", "--listen", "127.0.0.1:0", "--operators", "127.0.0.1:0", "--data", join(data, "blobs")];
  const ending = runMirror([...words, "--tls-cert", certFile, "--tls-key", keyFile], {
    NODE_OPTIONS: "--import=data:text/javascript,setInterval(()=>{},1000)",
  });
  // It reads it again as soon as it serves, and there is no such file then.
  const pipe = await open(certFile, "w");
  await rm(certFile);
  await pipe.writeFile(certificate);
  await pipe.close();
  const { code, stderr } = await ending;
  expect([code, stderr]).toEqual([1, expect.stringContaining(`ENOENT: no such file or directory, open '${certFile}'`)]);
  await rm(data, { recursive: true });
}, 60_000);
