import { describe, expect, it } from "vitest";
import { CacheArchiveError } from "../errors.ts";
import { expandShellWord } from "./shell-word.ts";

const environment = { X: "abcdef", EMPTY: "", N: "7", DIR: "a/b/c.tar.gz", "not a name": "no" };

describe("expandShellWord", () => {
  it.each([
    ["plain text stays", "a b/c-d", "a b/c-d"],
    ["a name ends where its characters end", "$X-$X/${X}y", "abcdef-abcdef/abcdefy"],
    ["an unset variable is empty", "a${UNSET}b$UNSET", "ab"],
    ["CA D7: a default stands in for an unset variable", "${D:-dir}", "dir"],
    ["a default with a colon also stands in for an empty one", "${EMPTY:-x}${EMPTY-y}", "x"],
    ["a default may use variables", "${D:-$X/${N}}", "abcdef/7"],
    ["an alternative needs a value", "${X:+yes}${EMPTY:+no}${EMPTY+set}${UNSET+no}", "yesset"],
    ["an assignment gives its word", "${D:=w}${D}", "w"],
    ["a substring has an offset and a length", "${X:1:3}", "bcd"],
    ["a substring may count from the end", "${X: -2}${X:1:-4}", "efb"],
    ["a substring may begin beyond the end", "[${X:9}][${X:2:0}][${X:4:99}]", "[][][ef]"],
    ["a length is a number of characters", "${#X}${#UNSET}", "60"],
    [
      "prefixes and suffixes are removed",
      "${DIR##*/} ${DIR#*/} ${DIR%.*} ${DIR%%.*}",
      "c.tar.gz b/c.tar.gz a/b/c.tar a/b/c",
    ],
    [
      "arithmetic knows precedence, names and brackets",
      "$((1 + N * 2)) $(($N % 4)) $(((1+2)*3)) $((N > 3 ? 10 : 20))",
      "15 3 9 10",
    ],
    [
      "arithmetic knows hexadecimal, octal, powers and signs",
      "$((0x10)) $((010)) $((2**10)) $((-N)) $((!0)) $((7 & 3 | 8))",
      "16 8 1024 -7 1 11",
    ],
    ["arithmetic is 64 bits wide", "$((9223372036854775807 + 1))", "-9223372036854775808"],
    ["a backslash escapes four characters", String.raw`\$X \" \\ ${"\\`"}`, '$X " \\ `'],
    ["a backslash before anything else stays for the glob", String.raw`a\*b\?\[`, String.raw`a\*b\?\[`],
    ["an escaped newline disappears", "a\\\nb", "ab"],
    ["a closing brace can be escaped in a default", "${D:-a\\}b}", "a}b"],
    ["a lonely dollar stays", "a$ $. $", "a$ $. $"],
    ["positional and special parameters are empty", "[$1$@$#$$]", "[]"],
    ["neither braces nor globs are expanded", "{a,b}/*.[ch]", "{a,b}/*.[ch]"],
    ["quotes are nothing special", `'$X' "$N"`, `'abcdef' "7"`],
  ])("%s", (_title, text, expected) => {
    expect(expandShellWord(text, environment)).toBe(expected);
  });

  it.each([
    ["command substitution", "$(pwd)"],
    ["command substitution with backquotes", "`pwd`"],
    ["command substitution that looks like arithmetic", "$((echo a) )"],
    ["an open brace", "${X"],
    ["an open brace with a default", "${X:-a"],
    ["an open arithmetic expression", "$((1 + 2"],
    ["an unknown operator", "${X@Q}"],
    ["a missing name", "${}"],
    ["an unset variable that must be set", "${UNSET:?set it}"],
    ["a division by zero", "$((1 / 0))"],
    ["half an expression", "$((1 +))"],
    ["a variable that is no number", "$((X + 1))"],
    ["bottomless nesting", "${A:-".repeat(200) + "}".repeat(200)],
  ])("refuses %s", (_title, text) => {
    const error = caught(() => expandShellWord(text, environment));
    expect(CacheArchiveError.isInstance(error) && error.code).toBe("bad-word");
  });

  it("does not see what is inherited from Object", () => {
    expect(expandShellWord("[$constructor]", {})).toBe("[]");
  });
});

function caught(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}
