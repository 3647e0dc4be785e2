import type { Command, OptionDescription, OptionTable } from "./command.ts";

/** The page that `fleetfoot --help` shows. */
export function overview(commands: readonly Command[]): string {
  return [
    "Runs CI jobs: your pipeline on this machine, or the jobs of a GitLab instance.",
    "",
    "Usage: fleetfoot <command> [options]",
    "",
    "Commands:",
    ...columns(mainCommands(commands).map((command) => [command.name, command.summary])),
    "",
    "Start here:",
    "  fleetfoot exec                run the pipeline of .gitlab-ci.yml in this folder",
    "  fleetfoot exec --list         see what it would run",
    "",
    "fleetfoot <command> --help explains one command. fleetfoot --version prints the version.",
    "",
  ].join("\n");
}

/** The page that `fleetfoot <command> --help` shows. */
export function commandHelp(command: Command): string {
  const options = Object.entries(command.options);
  const usage = ["fleetfoot", command.name, options.length > 0 ? "[options]" : "", command.operands];
  return [
    `Usage: ${usage.filter((word) => word !== "").join(" ")}`,
    "",
    command.description,
    ...(options.length > 0 ? ["", "Options:", ...optionLines(command.options)] : []),
    ...(command.examples.length > 0 ? ["", "Examples:", ...command.examples.map((line) => `  ${line}`)] : []),
    "",
  ].join("\n");
}

/** Without the commands of groups, which the groups list themselves. */
export function mainCommands(commands: readonly Command[]): readonly Command[] {
  return commands.filter((command) => !command.name.includes(" "));
}

function optionLines(options: OptionTable): readonly string[] {
  return columns(Object.entries(options).map(([name, option]) => [optionForm(name, option), optionHelp(option)]));
}

function optionForm(name: string, option: OptionDescription): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const value = option.type === "string" ? ` ${option.value ?? "TEXT"}` : "";
  return `${short}--${name}${value}`;
}

function optionHelp(option: OptionDescription): string {
  const notes = [
    option.multiple ? "may be repeated" : "",
    option.variable === undefined ? "" : `env ${option.variable}`,
  ];
  const remark = notes.filter((note) => note !== "").join(", ");
  return remark === "" ? option.help : `${option.help} (${remark})`;
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
