import { describe, expect, it } from "vitest";
import { tlsFiles } from "./connect.ts";

const places = { certificatesDirectory: "/etc/gitlab-runner/certs", currentDirectory: "/srv/runner" };
const runner = { url: "https://gitlab.example.com:8443/sub", executor: "shell", shell: "bash" };

describe("tlsFiles", () => {
  it("are named after the host, without its port, when none are configured", () => {
    expect(tlsFiles(runner, places)).toEqual({
      caFile: "/etc/gitlab-runner/certs/gitlab.example.com.crt",
      certificateFile: "/etc/gitlab-runner/certs/gitlab.example.com.auth.crt",
      keyFile: "/etc/gitlab-runner/certs/gitlab.example.com.auth.key",
    });
  });

  it("are those of the configuration, relative to the current folder", () => {
    const files = { tlsCaFile: "/ca.pem", tlsCertificateFile: "client.pem", tlsKeyFile: "../client.key" };
    expect(tlsFiles({ ...runner, ...files }, places)).toEqual({
      caFile: "/ca.pem",
      certificateFile: "/srv/runner/client.pem",
      keyFile: "/srv/client.key",
    });
  });

  it("are none for an address that cannot be used", () => {
    expect(tlsFiles({ ...runner, url: "gitlab" }, places)).toEqual({});
  });
});
