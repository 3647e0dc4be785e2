import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeCertificateFolder } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";
import { runnerWorld } from "../testing/running-runner.ts";

describe("a coordinator that speaks TLS", () => {
  it("is trusted by the files that are configured, gets the runner's certificate, and its jobs get them, too", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    const [server, client] = [await authority.issue(), await authority.issue()];
    await using world = await runnerWorld({ tls: { ...server, clientAuthority: authority.certificate } });
    const names = ["ca.pem", "client.pem", "client.key"] as const;
    const contents = [authority.certificate, client.certificate, client.key] as const;
    for (const [index, name] of names.entries()) await writeFile(join(world.folder, name), contents[index] ?? "");
    await world.configure({
      top: 'concurrent = 1\nconnection_max_age = "1h"',
      runner: `tls-ca-file = "ca.pem"\ntls-cert-file = "${join(world.folder, "client.pem")}"\ntls-key-file = "client.key"`,
    });

    const runner = world.start();
    const copies = names.map((name) => join(world.folder, `copy-${name}`));
    const [ca, certificate, key] = copies;
    const script = [
      `cp "$CI_SERVER_TLS_CA_FILE" ${ca}`,
      `cp "$CI_SERVER_TLS_CERT_FILE" ${certificate}`,
      `cp "$CI_SERVER_TLS_KEY_FILE" ${key}`,
    ];
    const job = await world.coordinator.addJob({
      variables: [{ key: "GIT_STRATEGY", value: "none" }],
      steps: [{ name: "script", script }],
    }).finished;

    expect(job.status).toBe("success");
    expect(await Promise.all(copies.map((copy) => readFile(copy, "utf8")))).toEqual(contents);
    expect(runner.context.complained()).not.toContain("is not supported");
    expect(await runner.finish()).toBe(0);
  });

  it("is trusted by a file that is named after its host, by every command", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    await using world = await runnerWorld({ tls: await authority.issue() });
    const { token } = world.coordinator.createRunner();
    const { hostname } = new URL(world.server.url);
    const register = ["register", "-c", world.configPath, "-n", "--url", world.server.url, "--token", token];
    expect((await world.command([...register, "--executor", "shell"])).code).not.toBe(0);

    await mkdir(join(world.folder, ".gitlab-runner/certs"), { recursive: true });
    await writeFile(join(world.folder, `.gitlab-runner/certs/${hostname}.crt`), authority.certificate);

    expect((await world.command([...register, "--executor", "shell"])).code).toBe(0);
    for (const command of ["verify", "unregister"]) {
      const words = [command, "-c", world.configPath, "--url", world.server.url];
      expect((await world.command(words)).code).toBe(0);
    }
  });

  it("is kept in the file by register with the files that were named", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    await using world = await runnerWorld({ tls: await authority.issue() });
    const { token } = world.coordinator.createRunner();
    await writeFile(join(world.folder, "ca.pem"), authority.certificate);
    const words = ["register", "-c", world.configPath, "-n", "--url", world.server.url, "--token", token];

    expect((await world.command([...words, "--executor", "shell", "--tls-ca-file", "ca.pem"])).code).toBe(0);
    expect(await readFile(world.configPath, "utf8")).toContain('tls-ca-file = "ca.pem"');
    expect((await world.command(["verify", "-c", world.configPath])).code).toBe(0);
  });
});
