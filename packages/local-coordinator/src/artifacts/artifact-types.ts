/** What is to be known of one type of artifact. @see cache 6.1 */
export interface ArtifactType {
  readonly format: "zip" | "gzip" | "raw";
  /** File name without the ending that the format adds; undefined: none is set and the runner chooses. */
  readonly defaultName: string | undefined;
}

/** The type's facts; undefined for a type that does not exist. */
export function artifactType(type: string): ArtifactType | undefined {
  const format = formats.find(([, types]) => types.includes(type))?.[0];
  return format === undefined ? undefined : { format, defaultName: defaultNames[type] };
}

/** Formats that a runner may upload. */
export const artifactFormats: readonly string[] = ["zip", "gzip", "raw", "zipzstd", "tarzstd"];

const formats: readonly (readonly ["zip" | "gzip" | "raw", readonly string[]])[] = [
  ["zip", ["archive", "lsif", "scip"]],
  [
    "gzip",
    [
      "junit",
      "cobertura",
      "jacoco",
      "dotenv",
      "metrics",
      "metrics_referee",
      "network_referee",
      "cluster_applications",
      "cyclonedx",
      "annotations",
      "repository_xray",
    ],
  ],
  [
    "raw",
    [
      "sast",
      "secret_detection",
      "dependency_scanning",
      "container_scanning",
      "cluster_image_scanning",
      "dast",
      "license_scanning",
      "accessibility",
      "codequality",
      "performance",
      "browser_performance",
      "load_performance",
      "terraform",
      "requirements",
      "requirements_v2",
      "coverage_fuzzing",
      "api_fuzzing",
      "sarif",
    ],
  ],
];

const defaultNames: Readonly<Record<string, string>> = {
  junit: "junit.xml",
  cobertura: "cobertura-coverage.xml",
  dotenv: ".env",
  codequality: "gl-code-quality-report.json",
  sast: "gl-sast-report.json",
  secret_detection: "gl-secret-detection-report.json",
  dependency_scanning: "gl-dependency-scanning-report.json",
  container_scanning: "gl-container-scanning-report.json",
  dast: "gl-dast-report.json",
  terraform: "tfplan.json",
  cyclonedx: "gl-sbom.cdx.json",
  metrics: "metrics.txt",
  lsif: "lsif.json",
  sarif: "gl-sarif-report.sarif",
};
