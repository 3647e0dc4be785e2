/** A runner that may ask for jobs. */
export interface RunnerOptions {
  /** @default a new `glrt-` token */
  readonly token?: string;
  readonly description?: string;
  /** Jobs with tags need a runner that has all of them. @default [] */
  readonly tags?: readonly string[];
  /** Whether it takes jobs without tags. @default true */
  readonly runUntagged?: boolean;
  /** A paused runner gets no jobs. @default false */
  readonly paused?: boolean;
  /** How long a token is valid, in milliseconds; undefined: for ever. Told to the runner, not enforced. */
  readonly tokenLifetimeMs?: number;
}

export interface RunnerView {
  readonly id: number;
  readonly description: string;
  readonly tags: readonly string[];
  readonly runUntagged: boolean;
  readonly paused: boolean;
  /** System ids of the machines that used its token. */
  readonly systemIds: readonly string[];
}
