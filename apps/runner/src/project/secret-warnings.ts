import type { GivenVariable } from "@fleetfoot/local-coordinator";

/**
 * Says where the values of secrets would be seen in spite of the masking, which covers what jobs print.
 *
 * @param names - of jobs and of the branch or tag; they are shown as they are
 */
export function secretWarnings(variables: readonly GivenVariable[], names: readonly string[]): readonly string[] {
  return variables
    .filter((variable) => variable.masked === true)
    .flatMap(({ key, value }) => {
      const warnings: string[] = [];
      if (/[\r\n]/.test(value.trim())) {
        warnings.push(
          `--secret ${key} has several lines and is masked only where all of them are printed as they are: neither single lines nor the lines joined by spaces, as echo $${key} without quotes prints them. Give a value of one line, for example in base64.`,
        );
      }
      if (value !== "" && names.some((name) => name.includes(value)))
        warnings.push(
          `The value of --secret ${key} is part of the name of a job, branch or tag; names are not masked.`,
        );
      return warnings;
    });
}
