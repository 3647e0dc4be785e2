/** Where settings come from; the first goes before the others. */
export interface SettingsSources {
  readonly flags: {
    readonly listen: readonly string[];
    readonly operators?: string | undefined;
    readonly data?: string | undefined;
    readonly upstream?: string | undefined;
    readonly maxSize?: string | undefined;
    readonly tlsCert?: string | undefined;
    readonly tlsKey?: string | undefined;
    readonly advertise?: string | undefined;
    readonly allowShared?: boolean;
    readonly connect?: boolean;
  };
  readonly environment: Readonly<Record<string, string>>;
  /** Whether the logins of the upstreams will be used. @default true */
  readonly needsLogins?: boolean;
  /** The settings file, parsed as TOML. */
  readonly file: Readonly<Record<string, unknown>>;
  readonly isRoot: boolean;
  readonly homeDirectory: string;
}
