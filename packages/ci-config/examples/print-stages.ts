import { resolvePipeline } from "@fleetfoot/ci-config";

const file = `
stages: [build, test]
.node: { image: node:24, before_script: [npm ci] }
compile: { extends: .node, stage: build, script: npm run build }
unit: { extends: .node, script: npm test, needs: [compile], parallel: 2 }
deploy: { stage: test, script: ./deploy, rules: [{ if: '$CI_COMMIT_TAG =~ /^v/' }] }`;

const { pipeline, errors } = await resolvePipeline({
  file: ".gitlab-ci.yml",
  readFile: async (path) => (path === ".gitlab-ci.yml" ? file : undefined),
  variables: { CI_COMMIT_BRANCH: "main" },
});
for (const error of errors) console.error(`${error.file}:${error.line} ${error.message}`);
for (const stage of pipeline?.stages ?? []) {
  const jobs = pipeline?.jobs.filter((job) => job.stage === stage) ?? [];
  console.log(`${stage}: ${jobs.map((job) => job.name).join(", ")}`);
}
