import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { JOB_BODY } from "../test-support/job-body.ts";
import { decodeJobPayload, rejectionOf } from "./job-payload.ts";
import { ShapeError } from "./shape.ts";

/** Every field that a coordinator may send, with a value other than its zero value. */
const IMAGE = {
  name: "alpine",
  alias: "a,b",
  command: ["x"],
  entrypoint: ["y"],
  ports: [{ number: 80, protocol: "http", name: "web" }],
  variables: [{ key: "K", value: "V", public: true, file: true, masked: true, raw: true }],
  pull_policy: ["always"],
  executor_opts: { docker: { platform: "linux/arm64", user: 1000 }, kubernetes: { user: "ci" } },
};
const FULL_BODY = {
  allow_git_fetch: true,
  job_info: {
    id: 101,
    name: "hello",
    stage: "test",
    pipeline_id: 5,
    project_id: 1,
    project_name: "p",
    project_full_path: "g/p",
    namespace_id: 2,
    root_namespace_id: 3,
    organization_id: 4,
    instance_id: "i",
    instance_uuid: "u",
    user_id: 6,
    scoped_user_id: 7,
    time_in_queue_seconds: 1.5,
    project_jobs_running_on_instance_runners_count: "5+",
    queue_size: 8,
    queue_depth: 9,
  },
  git_info: {
    repo_url: "http://h/g/p.git",
    repo_object_format: "sha1",
    ref: "main",
    sha: "0123456789abcdef",
    before_sha: "fedcba9876543210",
    ref_type: "branch",
    refspecs: ["+a:b"],
    depth: 20,
    protected: true,
  },
  runner_info: { uuid: "u", timeout: 600, runner_session_url: "https://h/session" },
  image: IMAGE,
  services: [IMAGE],
  artifacts: [
    {
      name: "a",
      untracked: true,
      paths: ["p"],
      exclude: ["e"],
      when: "always",
      artifact_type: "junit",
      artifact_format: "gzip",
      expire_in: "1 week",
    },
  ],
  cache: [{ key: "k", untracked: true, policy: "pull", paths: ["p"], when: "always", fallback_keys: ["f"] }],
  credentials: [{ type: "registry", url: "r", username: "u", password: "p" }],
  dependencies: [{ id: 4, name: "build", token: "t", artifacts_file: { filename: "a.zip", size: 12 } }],
  features: {
    trace_sections: true,
    token_mask_prefixes: ["x-"],
    failure_reasons: ["script_failure"],
    tracing: { trace_id: "t", span_parent_id: "s", otel_endpoints: [{ url: "https://o" }] },
  },
  hooks: [{ name: "pre_get_sources_script", script: ["echo"] }],
  secrets: { DB: { file: false, vault: { path: "p" } } },
  inputs: [{ key: "n", value: { type: "number", content: 3, sensitive: true } }],
  run: "[]",
  policy_options: {
    execution_policy_job: true,
    policy_name: "p",
    policy_variables_override_allowed: false,
    policy_variables_override_exceptions: ["e"],
  },
  suspend_options: { suspend_on_success: true, suspend_on_failure: true, runtime_environment_key: "k" },
};

describe("decodeJobPayload", () => {
  it("fills in the zero value of everything that is absent", () => {
    expect(decodeJobPayload({ id: 1 })).toEqual({
      id: 1,
      token: "",
      allow_git_fetch: false,
      job_info: {
        name: "",
        stage: "",
        project_id: 0,
        project_name: "",
        project_full_path: "",
        pipeline_id: 0,
        time_in_queue_seconds: 0,
        project_jobs_running_on_instance_runners_count: "",
        id: 0,
        namespace_id: 0,
        root_namespace_id: 0,
        organization_id: 0,
        instance_id: "",
        instance_uuid: "",
        user_id: 0,
        scoped_user_id: null,
        queue_size: 0,
        queue_depth: 0,
      },
      git_info: {
        repo_url: "",
        repo_object_format: "",
        ref: "",
        sha: "",
        before_sha: "",
        ref_type: "",
        refspecs: [],
        depth: 0,
        protected: null,
      },
      runner_info: { timeout: 0, uuid: "", runner_session_url: "" },
      variables: [],
      steps: [],
      image: null,
      services: [],
      artifacts: [],
      cache: [],
      credentials: [],
      dependencies: [],
      features: { trace_sections: false, token_mask_prefixes: [], failure_reasons: [], tracing: null },
      hooks: [],
      secrets: {},
      inputs: [],
      run: "",
      policy_options: {
        execution_policy_job: false,
        policy_name: "",
        policy_variables_override_allowed: null,
        policy_variables_override_exceptions: [],
      },
      suspend_options: { suspend_on_success: false, suspend_on_failure: false, runtime_environment_key: "" },
    });
  });

  it("takes null for absent, at every depth", () => {
    const fields = Object.keys(decodeJobPayload({ id: 1 })).filter((key) => key !== "id");
    const nulls = Object.fromEntries(fields.map((key) => [key, null]));
    expect(decodeJobPayload({ ...nulls, id: 1 })).toEqual(decodeJobPayload({ id: 1 }));
    expect(decodeJobPayload({ id: 1, variables: [null], steps: [{ name: null, script: [null] }] })).toMatchObject({
      variables: [{ key: "", value: "", masked: false }],
      steps: [{ name: "", script: [""], timeout: 0, allow_failure: false }],
    });
  });

  it("ignores fields that it does not know", () => {
    const decoded = decodeJobPayload({ ...JOB_BODY, brand_new: { a: 1 } });
    expect(decoded).toEqual(decodeJobPayload(JOB_BODY));
    expect(decoded).not.toHaveProperty("brand_new");
  });

  it("keeps what was sent", () => {
    const image = {
      name: "alpine",
      alias: "a,b",
      command: ["x"],
      entrypoint: ["y"],
      ports: [{ number: 80, protocol: "http", name: "web" }],
      variables: [{ key: "K", value: "V", raw: true }],
      pull_policy: ["always"],
      executor_opts: { docker: { user: 1000 } },
    };
    const body = {
      id: 1,
      image,
      services: [image],
      git_info: { protected: true, depth: 20, refspecs: ["+a:b"] },
      dependencies: [{ id: 4, name: "build", token: "t", artifacts_file: { filename: "a.zip", size: 12 } }],
      hooks: [{ name: "pre_get_sources_script", script: ["echo"] }],
      secrets: { DB: { file: null, vault: { path: "p" } } },
      inputs: [{ key: "n", value: { type: "number", content: 3, sensitive: true } }],
    };
    expect(decodeJobPayload(body)).toMatchObject({
      ...body,
      image: { ...image, variables: [{ key: "K", value: "V", raw: true }] },
    });
  });

  it.each([
    ["id", "5"],
    ["id", 1.5],
    ["id", 0],
    ["id", -1],
    ["id", null],
    ["token", 5],
    ["allow_git_fetch", "true"],
    ["job_info", []],
    ["job_info", { project_id: "1" }],
    ["job_info", { project_jobs_running_on_instance_runners_count: 5 }],
    ["git_info", { depth: "20" }],
    ["git_info", { protected: "yes" }],
    ["git_info", { refspecs: "+a:b" }],
    ["runner_info", { timeout: "600" }],
    ["variables", {}],
    ["variables", [{ key: "A", value: 1 }]],
    ["variables", [{ key: "A", value: "1", masked: "true" }]],
    ["steps", [{ script: "echo" }]],
    ["steps", [{ script: [1] }]],
    ["image", "alpine"],
    ["image", { entrypoint: "sh" }],
    ["image", { executor_opts: [] }],
    ["image", { executor_opts: { docker: "x" } }],
    ["image", { executor_opts: { docker: { user: true } } }],
    ["services", [{ name: 5 }]],
    ["artifacts", [{ untracked: "false" }]],
    ["cache", [{ paths: [{}] }]],
    ["credentials", [{ password: 1 }]],
    ["dependencies", [{ artifacts_file: { size: "12" } }]],
    ["features", { trace_sections: 1 }],
    ["hooks", [{ script: null, name: 1 }]],
    ["secrets", []],
    ["secrets", { A: "x" }],
    ["secrets", { A: { file: "true" } }],
    ["inputs", [{ key: "", value: { type: "string", content: "" } }]],
    ["inputs", [{ key: "a", value: { type: "text", content: "" } }]],
    ["inputs", [{ key: "a", value: { type: "string", content: null } }]],
    ["inputs", [{ key: "a", value: { type: "array", content: {} } }]],
    ["run", []],
    ["policy_options", { policy_name: 1 }],
    ["suspend_options", { suspend_on_success: "no" }],
    ["job_info", { id: "1" }],
    ["job_info", { scoped_user_id: "1" }],
    ["job_info", { instance_uuid: 1 }],
    ["runner_info", { uuid: 1 }],
    ["features", { tracing: { trace_id: 1 } }],
  ])("refuses %s = %j", (field, value) => {
    const decode = (): unknown => decodeJobPayload({ ...JOB_BODY, [field]: value });
    expect(decode).toThrow(ShapeError);
    expect(decode).toThrow(field);
  });

  it("names the place but not the value, which may be a secret", () => {
    const body = { id: 1, variables: [{}, { key: "A", value: 987_654_321 }] };
    expect(() => decodeJobPayload(body)).toThrow(/^variables\[1\]\.value must be a string, not number$/);
  });

  it.each([null, [], "text", 5])("refuses the body %j", (body) => {
    expect(() => decodeJobPayload(body)).toThrow(ShapeError);
  });

  it("does without any fields that are missing or null, and with any that are unknown (10000 payloads)", () => {
    const whole = { ...JOB_BODY, ...FULL_BODY };
    const expected = decodeJobPayload(whole);
    const places = placesOf(whole).filter((place) => place.join(".") !== "id");
    const gone = fc.subarray(places);
    const unknown = fc.array(fc.tuple(fc.constantFrom([], ...places), fc.string(), fc.jsonValue()), { maxLength: 5 });
    fc.assert(
      fc.property(gone, fc.boolean(), unknown, (missing, asNull, additions) => {
        const body = structuredClone(whole);
        for (const [place, key, value] of additions) add(body, place, `x-${key}`, value);
        expect(decodeJobPayload(body)).toEqual(expected);
        for (const place of missing) remove(body, place, asNull);
        const decoded = decodeJobPayload(body);
        expect(Object.keys(decoded)).toEqual(Object.keys(expected));
        expect(decodeJobPayload(decoded)).toEqual(decoded);
      }),
      { numRuns: 10_000 },
    );
  }, 60_000);

  it("either decodes or refuses whatever JSON holds", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(JOB_BODY)), fc.jsonValue(), (field, value) => {
        try {
          return decodeJobPayload({ ...JOB_BODY, [field]: value }).id > 0;
        } catch (error) {
          return error instanceof ShapeError;
        }
      }),
    );
  });
});

describe("rejectionOf", () => {
  const withImage = (executorOptions: unknown): string | undefined =>
    rejectionOf(decodeJobPayload({ ...JOB_BODY, image: { name: "alpine", executor_opts: executorOptions } }));

  it.each([
    [{}],
    [null],
    [{ docker: { platform: "linux/arm64", user: "ci" }, kubernetes: { user: 1000 } }],
    [{ docker: null }],
  ])("lets %j pass", (options) => {
    expect(withImage(options)).toBeUndefined();
  });

  it.each([
    [{ podman: {} }, "podman"],
    [{ toString: {} }, "toString"],
    [{ docker: { network: "host" } }, "docker.network"],
    [{ kubernetes: { platform: "x" } }, "kubernetes.platform"],
  ])("rejects %j", (options, named) => {
    expect(withImage(options)).toContain(`"${named}" of image "alpine"`);
  });

  it("looks at services, too", () => {
    const services = [{ name: "redis", executor_opts: { docker: { x: 1 } } }];
    expect(rejectionOf(decodeJobPayload({ ...JOB_BODY, services }))).toContain('"docker.x" of services "redis"');
    expect(rejectionOf(decodeJobPayload({ ...JOB_BODY, image: { name: "a" }, services }))).toContain(
      'services "redis"',
    );
  });

  it("rejects run beside a script or a variable named STEPS", () => {
    const run = '[{"step":"x"}]';
    expect(rejectionOf(decodeJobPayload({ ...JOB_BODY, run }))).toContain("script");
    const variables = [{ key: "STEPS", value: "" }];
    expect(rejectionOf(decodeJobPayload({ ...JOB_BODY, run, steps: [], variables }))).toContain("STEPS");
    expect(
      rejectionOf(decodeJobPayload({ ...JOB_BODY, run, steps: [{ name: "script", script: [] }] })),
    ).toBeUndefined();
  });
});

type Place = readonly (string | number)[];

/** Where the fields of objects are, at every depth, apart from objects whose keys are data. */
function placesOf(value: unknown, place: Place = []): Place[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    const here = [...place, Array.isArray(value) ? Number(key) : key];
    // An input without content is refused, and secrets and executor options are kept as they came.
    if (["inputs", "secrets", "executor_opts", "tracing"].includes(key)) return [here];
    return [...(Array.isArray(value) ? [] : [here]), ...placesOf(member, here)];
  });
}

function at(body: unknown, place: Place): unknown {
  return place.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], body);
}

function add(body: unknown, place: Place, key: string, value: unknown): void {
  const target = at(body, place);
  const isData = ["inputs", "secrets", "executor_opts", "tracing"].includes(String(place.at(-1)));
  if (typeof target === "object" && target !== null && !Array.isArray(target) && !isData) {
    (target as Record<string, unknown>)[key] = value;
  }
}

function remove(body: unknown, place: Place, asNull: boolean): void {
  const owner = at(body, place.slice(0, -1)) as Record<string | number, unknown> | undefined | null;
  const key = place.at(-1) ?? "";
  if (owner === undefined || owner === null) return;
  if (asNull) owner[key] = null;
  else delete owner[key];
}
