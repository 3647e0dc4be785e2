/** What a machine said that it can do, by the names of the protocol. */
export type RunnerFeatures = Readonly<Record<string, boolean>>;
