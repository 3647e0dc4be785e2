import type { CliContext } from "./context.ts";

/** One word of the command line after `fleetfoot`. */
export interface Command {
  readonly name: string;
  /** Half a sentence for the list of commands. */
  readonly summary: string;
  /** What may follow the name, for example `[job...]`. Empty when nothing may. */
  readonly operands: string;
  /** A few lines that tell a newcomer when to use it. */
  readonly description: string;
  readonly options: OptionTable;
  readonly examples: readonly string[];
  /** Loads the code behind the command; the others stay unloaded. */
  load(): Promise<CommandAction>;
}

/** Runs a command and resolves to the exit code of the process. */
export type CommandAction = (invocation: Invocation, context: CliContext) => Promise<number>;

/** Long option names to what they are. */
export type OptionTable = Readonly<Record<string, OptionDescription>>;

export interface OptionDescription {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** Stands for the value in the help, for example `FILE`. */
  readonly value?: string;
  /** Environment variable that gives the value when the option is absent. */
  readonly variable?: string;
  readonly help: string;
}

/** What the user typed, checked against the command's options. */
export interface Invocation {
  readonly operands: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  /** Whether it stands on the command line. */
  isGiven(name: string): boolean;
}
