import { describe, expect, it } from "vitest";
import { DOCKER_KEYS } from "../docker-keys.ts";
import { RunnerConfigError } from "../errors.ts";
import { lintRunnerConfig, parseRunnerConfig } from "../parse.ts";
import { addRunner, removeRunners, updateRunners } from "./edit.ts";

const file = `# Managed by hand.
concurrent = 4 # four

# The first one.
# Do not touch.
[[runners]]
  name = "one" # inline
  url = "https://one.example.com"
  token = "$TOKEN_ONE"
  executor = "shell"
  future_key = { a = 1, b = [1.0, 2] }
  pre_build_script = """
[[runners]]
echo "# not a comment"
"""
  [runners.docker] # ignored here
    image = 'x]]'

# The second one.
[[runners]]
name = "two"
url = "https://two.example.com"
token = "glrt-two"
executor = "shell"
environment = [
  "A=1", # keep
  "B=]",
]

# Not of a runner.
[session_server]
session_timeout = 1800
`;

const three = { name: "three", url: "https://three.example.com", token: "glrt-three", executor: "shell" };

function names(text: string): readonly string[] | undefined {
  const { config, problems } = parseRunnerConfig(text);
  expect(problems.filter((problem) => problem.severity === "error")).toEqual([]);
  return config?.runners.map((runner) => runner.name);
}

describe("addRunner", () => {
  it("writes the first runner of an empty file", () => {
    const text = addRunner("", {
      ...three,
      id: 7,
      tokenObtainedAt: "2026-01-02T03:04:05.678Z",
      tokenExpiresAt: undefined,
      shell: "sh",
      limit: 2,
      buildsDirectory: "/b",
      cacheDirectory: "/c",
      environment: ['A="1"', "B=\\"],
    });
    expect(text).toBe(`[[runners]]
  name = "three"
  url = "https://three.example.com"
  id = 7
  token = "glrt-three"
  token_obtained_at = 2026-01-02T03:04:05Z
  executor = "shell"
  shell = "sh"
  limit = 2
  builds_dir = "/b"
  cache_dir = "/c"
  environment = [ "A=\\"1\\"", "B=\\\\" ]
`);
    expect(parseRunnerConfig(text).config?.runners[0]).toMatchObject({
      id: 7,
      tokenObtainedAt: "2026-01-02T03:04:05Z",
      environment: ['A="1"', "B=\\"],
    });
  });

  it("leaves what is there as it is, byte for byte", () => {
    const text = addRunner(file, three);
    expect(text.startsWith(`${file}\n[[runners]]\n`)).toBe(true);
    expect(names(text)).toEqual(["one", "two", "three"]);
  });

  it("writes every key of [runners.docker] that is no table, so that it is read back", () => {
    const values = { boolean: true, integer: 7, list: ["a", 'b "c"'], text: "one word" };
    const docker = Object.fromEntries(DOCKER_KEYS.map(({ name, kind }) => [name, values[kind]]));
    const text = addRunner("concurrent = 2\n", { ...three, executor: "docker", docker });
    expect(text).toContain('executor = "docker"\n  [runners.docker]\n    host = "one word"\n');
    expect(lintRunnerConfig(text)).toEqual([]);
    expect(parseRunnerConfig(text).config?.runners[0]?.docker).toMatchObject(docker);
    expect(addRunner(file, { ...three, docker: { volumes: [], image: "x" } })).toMatch(
      /\n {2}\[runners\.docker\]\n {4}image = "x"\n$/,
    );
  });

  it("does not write empty lists and a limit of 0", () => {
    expect(addRunner("", { ...three, limit: 0, environment: [] })).not.toMatch(/limit|environment/);
  });

  it.each([
    ["concurrent = 2", "concurrent = 2\n\n[[runners]]\n"],
    ["# only a comment\n", "# only a comment\n\n[[runners]]\n"],
    ['[[Runners]]\ntoken = "t"\n', '[[Runners]]\ntoken = "t"\n\n[[Runners]]\n'],
  ])("%j", (before, start) => {
    const text = addRunner(before, three);
    expect(text.startsWith(start)).toBe(true);
    expect(names(text)?.at(-1)).toBe("three");
  });

  it("rewrites a list of inline tables, which cannot be added to, without losing data", () => {
    const text = addRunner('concurrent = 3\nrunners = [{ name = "one", token = "t", ratio = 1.0, kept = 2 }]\n', three);
    expect(names(text)).toEqual(["one", "three"]);
    expect(text).toContain("ratio = 1.0");
    expect(text).toContain("kept = 2\n");
  });

  it("writes any string so that it is read back", () => {
    const name = 'quotes " and \\ and \t \u007f \u0000 \n ünïcödé 🦊';
    expect(names(addRunner("", { ...three, name }))).toEqual([name]);
  });

  it.each([
    ["a = = 1", three, "broken-toml"],
    ["runners = 1\n", three, "invalid-value"],
    ["", { ...three, id: 1.5 }, "invalid-value"],
    ["", { ...three, tokenObtainedAt: "soon" }, "invalid-value"],
  ])("refuses %j", (text, runner, code) => {
    let error: unknown;
    try {
      addRunner(text, runner);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(RunnerConfigError);
    expect(RunnerConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code, retryable: false });
  });
});

describe("removeRunners", () => {
  it("removes a runner with its comments and sub-tables, and nothing else", () => {
    const text = removeRunners(file, (runner) => runner.name === "one");
    expect(text).toBe(file.slice(0, file.indexOf("# The first one.")) + file.slice(file.indexOf("# The second one.")));
    expect(names(text)).toEqual(["two"]);
  });

  it("keeps the section that follows the last runner", () => {
    const text = removeRunners(file, (runner) => runner.token === "glrt-two");
    expect(text).toBe(
      file.slice(0, file.indexOf("# The second one.")) + file.slice(file.indexOf("# Not of a runner.")),
    );
    expect(names(text)).toEqual(["one"]);
  });

  it("removes all that fit", () => {
    const text = removeRunners(file, () => true);
    expect(names(text)).toEqual([]);
    expect(text).toContain("# Not of a runner.\n[session_server]");
    expect(text).toContain("concurrent = 4 # four");
  });

  it("gives the same text when nothing fits", () => {
    expect(removeRunners(file, () => false)).toBe(file);
    expect(removeRunners("", () => true)).toBe("");
  });

  it("compares expanded tokens only with an environment, and saves them unexpanded", () => {
    const isOne = (runner: { readonly token: string }): boolean => runner.token === "secret";
    expect(removeRunners(file, isOne)).toBe(file);
    expect(names(removeRunners(file, isOne, { environment: { TOKEN_ONE: "secret" } }))).toEqual(["two"]);
    expect(removeRunners(file, (runner) => runner.name === "two", { environment: { TOKEN_ONE: "secret" } })).toContain(
      '"$TOKEN_ONE"',
    );
  });

  it("also sees runners without token", () => {
    expect(removeRunners('[[runners]]\nname = "dead"\n', (runner) => runner.token === "")).toBe("");
  });

  it("rewrites what is not written in sections of its own", () => {
    const text = removeRunners(
      '[[runners]]\nname = "a"\ntoken = "t"\n[other]\nx = 1\n[runners.docker]\nimage = "i"\n[[runners]]\nname = "b"\ntoken = "t"\n',
      (runner) => runner.name === "a",
    );
    expect(names(text)).toEqual(["b"]);
    expect(text).toContain("[other]\nx = 1");
  });

  it("works with Windows line ends", () => {
    const windows = file.replaceAll("\n", "\r\n");
    const text = removeRunners(windows, (runner) => runner.name === "one");
    expect(text).toBe(
      windows.slice(0, windows.indexOf("# The first one.")) + windows.slice(windows.indexOf("# The second one.")),
    );
  });
});

describe("updateRunners", () => {
  it("changes a value in place and keeps comments, order and unknown keys", () => {
    const text = updateRunners(file, (runner) => runner.name === "one", { name: "uno", token: "glrt-new" });
    expect(text).toBe(file.replace('"one" # inline', '"uno" # inline').replace('"$TOKEN_ONE"', '"glrt-new"'));
  });

  it("adds keys after the runner's own, before its sub-tables", () => {
    const text = updateRunners(file, (runner) => runner.name === "one", {
      tokenExpiresAt: "2031-01-01T00:00:00Z",
      limit: 3,
    });
    expect(text).toBe(
      file.replace(
        '"""\n  [runners.docker]',
        '"""\n  token_expires_at = 2031-01-01T00:00:00Z\n  limit = 3\n  [runners.docker]',
      ),
    );
  });

  it("replaces and removes values that span lines", () => {
    const isTwo = (runner: { readonly name: string }): boolean => runner.name === "two";
    const list = file.slice(file.indexOf("environment = ["), file.indexOf("\n\n# Not of"));
    expect(updateRunners(file, isTwo, { environment: ["C=1"] })).toBe(file.replace(list, 'environment = [ "C=1" ]'));
    expect(updateRunners(file, isTwo, { environment: undefined, id: 3 })).toBe(file.replace(`\n${list}`, "\nid = 3"));
  });

  it("finds keys in any case and in quotes", () => {
    expect(updateRunners('[[runners]]\nNAME = "a"\n"token" = "t"\n', () => true, { name: "b", token: "u" })).toBe(
      '[[runners]]\nNAME = "b"\n"token" = "u"\n',
    );
  });

  it("fills a section that has no keys", () => {
    expect(updateRunners("[[runners]]\n", () => true, { name: "b" })).toBe('[[runners]]\n  name = "b"\n');
  });

  it("gives the same text when nothing fits or nothing changes", () => {
    expect(updateRunners(file, () => false, { name: "x" })).toBe(file);
    expect(updateRunners(file, () => true, {})).toBe(file);
  });

  it("rewrites inline runners without losing data", () => {
    const text = updateRunners('runners = [{ name = "a", token = "t", k = 1 }]\n', () => true, { name: "b" });
    expect(names(text)).toEqual(["b"]);
    expect(text).toContain("k = 1");
  });
});
