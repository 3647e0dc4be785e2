import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DockerConfigurationError } from "../errors.ts";
import { checkAllowed, chooseUser } from "./allowed.ts";
import { readLogins } from "./credentials.ts";
import type { CredentialSources } from "./credentials.ts";
import { pullFailureReason } from "./failure-kind.ts";
import { effectivePolicies } from "./pull-policy.ts";
import { isImageId, parseReference, pullReference, serviceNames } from "./reference.ts";

describe("pull policies", () => {
  it("JE 40: refuses a policy that the runner does not allow, naming both lists", () => {
    expect(() => effectivePolicies(["if-not-present"], {})).toThrow(
      new DockerConfigurationError(
        "pull_policy ([if-not-present]) defined in GitLab pipeline config is not one of the allowed_pull_policies ([always])",
      ),
    );
    expect(() => effectivePolicies(undefined, { pullPolicy: ["never"], allowedPullPolicies: ["always"] })).toThrow(
      /defined in Runner config is not/,
    );
    expect(() => effectivePolicies(undefined, { allowedPullPolicies: ["never"] })).toThrow(/Runner config \(default\)/);
  });

  it("keeps order and repetition of those that are allowed", () => {
    expect(effectivePolicies(undefined, {})).toEqual(["always"]);
    expect(effectivePolicies([], { pullPolicy: ["always", "always", "never"] })).toEqual(["always", "always", "never"]);
    expect(effectivePolicies(["never", "always"], { allowedPullPolicies: ["always", "if-not-present"] })).toEqual([
      "always",
    ]);
  });

  it("refuses a policy that does not exist", () => {
    expect(() => effectivePolicies(["sometimes"], {})).toThrow(/unsupported pull_policy "sometimes"/);
  });
});

describe("allowed images", () => {
  const check = (image: string, lines: string[] = []): void =>
    checkAllowed(
      "image",
      image,
      { image: "$REGISTRY/alpine", allowedImages: ["ruby:*", "registry.example.com/**"] },
      (name) => (name === "REGISTRY" ? "own.example.com" : undefined),
      (line) => lines.push(line),
    );

  it("JE 42: always allows the runner's own image, and shows the list to a job whose image it refuses", () => {
    check("own.example.com/alpine");
    check("ruby:3.4");
    check("registry.example.com/a/b:1");
    const lines: string[] = [];
    expect(() => check("busybox", lines)).toThrow(/disallowed image "busybox"/);
    expect(lines).toEqual([
      'The "busybox" image is not present on list of allowed images:',
      "- ruby:*",
      "- registry.example.com/**",
    ]);
  });

  it("lets the runner's user win, and a job choose only among the allowed ones", () => {
    expect(chooseUser("1000", { user: "app" })).toBe("app");
    expect(chooseUser("1000", {})).toBe("1000");
    expect(chooseUser("1000", { allowedUsers: ["1000"] })).toBe("1000");
    expect(() => chooseUser("root", { allowedUsers: ["1000"] })).toThrow(/"root" is not an allowed user/);
  });
});

describe("references", () => {
  it("tells a registry's port from a tag", () => {
    expect(parseReference("host:5000/a/b")).toEqual({ name: "host:5000/a/b", tag: undefined, digest: undefined });
    expect(parseReference("host:5000/a:1@sha256:abc")).toEqual({ name: "host:5000/a", tag: "1", digest: "sha256:abc" });
    expect(pullReference("host:5000/a")).toBe("host:5000/a:latest");
    expect(pullReference("a@sha256:abc")).toBe("a@sha256:abc");
    expect(isImageId(`sha256:${"0".repeat(64)}`)).toBe(true);
    expect(isImageId("busybox")).toBe(false);
  });

  it("names a service after its path, with both replacements of the slash", () => {
    expect(serviceNames("registry.example.com:4999/valkey/valkey:8")).toEqual([
      "registry.example.com__valkey__valkey",
      "registry.example.com-valkey-valkey",
    ]);
    expect(serviceNames("postgres:16")).toEqual(["postgres"]);
  });
});

describe("failures of pulls", () => {
  it.each([
    ["dial tcp 1.2.3.4:443: i/o timeout", "runner_external_dependency_failure"],
    ["manifest unknown: not there", "runner_configuration_error"],
    ["pull access denied for x, repository does not exist", "runner_configuration_error"],
    ["no space left on device", "image_pull_failure"],
  ])("%s counts as %s", (message, reason) => {
    expect(pullFailureReason(message)).toBe(reason);
  });
});

describe("registry credentials", () => {
  let home: string;
  const warnings: string[] = [];
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "credentials-"));
    warnings.length = 0;
  });
  afterEach(() => rm(home, { recursive: true }));

  const sources = (more: Partial<CredentialSources> = {}): CredentialSources => ({
    authConfig: undefined,
    homeDirectory: home,
    payload: [],
    environment: { PATH: `${home}:/usr/bin:/bin` },
    warn: (text) => warnings.push(text),
    signal: new AbortController().signal,
    ...more,
  });
  const auths = (entries: Readonly<Record<string, string>>): string =>
    JSON.stringify({
      auths: Object.fromEntries(
        Object.entries(entries).map(([registry, pair]) => [registry, { auth: Buffer.from(pair).toString("base64") }]),
      ),
    });
  const userOf = (login: { readonly header: string } | undefined): unknown =>
    login && (JSON.parse(Buffer.from(login.header, "base64").toString("utf8")) as { username: unknown }).username;

  it("JE 43: prefers DOCKER_AUTH_CONFIG to the file and to the job's own, and says where a login is from", async () => {
    await mkdir(join(home, ".docker"));
    await writeFile(
      join(home, ".docker/config.json"),
      auths({ "registry.example.com": "file:x", "other.example.com": "file:x" }),
    );
    const payload = [{ type: "registry", url: "https://registry.example.com", username: "job", password: "x" }];
    const logins = await readLogins(sources({ authConfig: auths({ "registry.example.com": "variable:x" }), payload }));
    expect(logins.find("registry.example.com/a/b:1")).toMatchObject({ source: "$DOCKER_AUTH_CONFIG" });
    expect(userOf(logins.find("registry.example.com/a/b:1"))).toBe("variable");
    expect(logins.find("other.example.com/a")?.source).toBe(join(home, ".docker/config.json"));
    const only = await readLogins(sources({ payload, homeDirectory: undefined }));
    expect(only.find("registry.example.com/a")?.source).toBe("job payload (GitLab Registry)");
    expect(only.find("elsewhere.example.com/a")).toBeUndefined();
  });

  it("takes the longest path over the order of the sources, and knows the names of Docker Hub", async () => {
    const logins = await readLogins(
      sources({
        authConfig: auths({ "registry.example.com": "short:x", "https://index.docker.io/v1/": "hub:x" }),
        payload: [{ type: "registry", url: "registry.example.com/group", username: "long", password: "x" }],
      }),
    );
    expect(userOf(logins.find("registry.example.com/group/image"))).toBe("long");
    expect(userOf(logins.find("registry.example.com/groups/image"))).toBe("short");
    expect(userOf(logins.find("alpine:3"))).toBe("hub");
    expect(userOf(logins.find("team/image"))).toBe("hub");
    expect(userOf(logins.find("docker.io/team/image"))).toBe("hub");
  });

  it("asks credential helpers, those of single registries before the store", async () => {
    const helper = async (name: string, user: string): Promise<void> => {
      const path = join(home, `docker-credential-${name}`);
      const script = `#!/bin/sh\nif [ "$1" = list ]; then echo '{"a.example.com":"u","b.example.com":"u"}'; exit 0; fi\nread -r registry\necho "{\\"Username\\":\\"${user}-$registry\\",\\"Secret\\":\\"s\\"}"\n`;
      await writeFile(path, script);
      await chmod(path, 0o755);
    };
    await helper("store", "store");
    await helper("single", "single");
    const authConfig = JSON.stringify({ credsStore: "store", credHelpers: { "b.example.com": "single" } });
    const logins = await readLogins(sources({ authConfig }));
    expect(userOf(logins.find("a.example.com/x"))).toBe("store-a.example.com");
    expect(userOf(logins.find("b.example.com/x"))).toBe("single-b.example.com");
  });

  it("fails the job for a helper with a path for a name, and only warns of one that is not there", async () => {
    const withHelper = (name: string): Promise<unknown> =>
      readLogins(sources({ authConfig: JSON.stringify({ credHelpers: { "a.example.com": name } }) }));
    await expect(withHelper("../evil")).rejects.toBeInstanceOf(DockerConfigurationError);
    await withHelper("missing");
    expect(warnings.join()).toMatch(/docker-credential-missing.*not used/);
  });

  it("never quotes in its warnings what a helper printed", async () => {
    const path = join(home, "docker-credential-broken");
    await writeFile(path, "#!/bin/sh\necho s3cr3t-token\n");
    await chmod(path, 0o755);
    await readLogins(sources({ authConfig: JSON.stringify({ credHelpers: { "a.example.com": "broken" } }) }));
    await readLogins(sources({ authConfig: JSON.stringify({ credsStore: "broken" }) }));
    expect(warnings).toEqual([
      "The registry credentials of the helper docker-credential-broken are not used: it is not valid JSON",
      "The registry credentials of $DOCKER_AUTH_CONFIG are not used: it is not valid JSON",
    ]);
  });

  it("warns of a file that cannot be read, and goes on with the other sources", async () => {
    await writeFile(join(home, ".docker"), "not a directory");
    const payload = [{ type: "registry", url: "a.example.com", username: "job", password: "x" }];
    const logins = await readLogins(sources({ payload }));
    expect(userOf(logins.find("a.example.com/x"))).toBe("job");
    expect(warnings).toEqual([expect.stringMatching(/config\.json are not used: ENOTDIR/)]);
  });

  it("never quotes a broken file in its warning", async () => {
    await readLogins(sources({ authConfig: '{"auths": s3cr3t' }));
    expect(warnings).toEqual(["The registry credentials of $DOCKER_AUTH_CONFIG are not used: it is not valid JSON"]);
  });
});
