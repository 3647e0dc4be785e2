import type { CliContext } from "./context.ts";

/** One word of the command line after `fleetfoot-mirror`. */
export interface Command {
  readonly name: string;
  /** Half a sentence for the list of commands. */
  readonly summary: string;
  /** What may follow the name, for example `CLIENT`. Empty when nothing may. */
  readonly operands: string;
  /** Operands that there are, each with half a sentence for the help. */
  readonly choices?: readonly (readonly [string, string])[];
  readonly options: Readonly<Record<string, OptionDescription>>;
  readonly examples: readonly string[];
  /** Loads the code behind the command; the others stay unloaded. */
  load(): Promise<CommandAction>;
}

/** Runs a command and resolves to the exit code of the process. */
export type CommandAction = (invocation: Invocation, context: CliContext) => Promise<number>;

export interface OptionDescription {
  readonly type: "boolean" | "string";
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** Stands for the value in the help, for example `FILE`. */
  readonly value?: string;
  readonly help: string;
}

/** What the user typed, checked against the command's options. */
export interface Invocation {
  readonly operands: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
}
