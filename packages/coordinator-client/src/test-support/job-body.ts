/** A job as a coordinator assigns it, with the least that a job needs. */
export const JOB_BODY: Readonly<Record<string, unknown>> = {
  id: 101,
  token: "glcbt-test-101",
  allow_git_fetch: false,
  job_info: { name: "hello", stage: "test", project_id: 1, project_name: "p" },
  git_info: {
    repo_url: "http://gitlab-ci-token:glcbt-test-101@127.0.0.1/g/p.git",
    ref: "main",
    sha: "0123456789abcdef0123456789abcdef01234567",
    before_sha: "",
    ref_type: "branch",
  },
  runner_info: { timeout: 600 },
  variables: [
    { key: "GIT_STRATEGY", value: "none", public: true },
    { key: "CI_JOB_TOKEN", value: "glcbt-test-101", masked: true },
  ],
  steps: [{ name: "script", script: ["echo hi"], timeout: 600, when: "on_success", allow_failure: false }],
  image: null,
  services: [],
  artifacts: null,
  cache: [],
  credentials: [],
  dependencies: [],
  features: { trace_sections: true, failure_reasons: ["script_failure"] },
};
