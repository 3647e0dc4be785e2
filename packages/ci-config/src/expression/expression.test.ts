import { assert, asyncProperty, constantFrom, array, dictionary, oneof, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { CiConfigError, ExpressionError } from "../errors.ts";
import { evaluateExpression } from "./expression.ts";

const variables = { SET: "my variable", EMPTY: "", BLANK: " ", PATH: "a/b", PATTERN: "/^MY/i", PLAIN: "my" };

describe("evaluateExpression", () => {
  it.each([
    ["$SET", true],
    ["$EMPTY", false],
    ["$BLANK", false],
    ["$MISSING", false],
    ["null", false],
    ['"text"', true],
    ['$SET == "my variable"', true],
    ["$SET == 'my variable'", true],
    ['"my variable" == $SET', true],
    ['$SET == "my"', false],
    ['$SET != "my"', true],
    ["$MISSING == null", true],
    ["$EMPTY == null", false],
    ['$EMPTY == ""', true],
    ['$MISSING == ""', false],
    ["$MISSING != null", false],
    ["$MISSING == $OTHER", true],
    ["$SET == $SET", true],
    ["$SET =~ /^my/", true],
    ["$SET =~ /^MY/", false],
    ["$SET =~ /^MY/i", true],
    ["$SET =~ /var.*e$/", true],
    ["$MISSING =~ /x/", false],
    ["$MISSING !~ /x/", true],
    ["$EMPTY !~ /x/", true],
    ["$SET !~ /^my/", false],
    ["$SET =~ $PATTERN", true],
    ["$SET =~ $PLAIN", false],
    ["$SET !~ $PLAIN", false],
    ["$SET =~ $MISSING", false],
    [String.raw`$PATH =~ /a\/b/`, true],
    [String.raw`$SET =~ /\bvar/ && $PATH`, true],
    ["$SET && $EMPTY", false],
    ["$EMPTY && $SET", true],
    ["$MISSING && $SET", false],
    ["$EMPTY || $SET", false],
    ["$MISSING || $SET", true],
    ["$SET || $MISSING && $MISSING", true],
    ["($SET || $MISSING) && $MISSING", false],
    ['$SET == "x" || ($PATH =~ /a/ && $EMPTY == "")', true],
    ['$SET=="my variable"&&$PATH', true],
    ['$SET\n  && $PATH == "a/b"', true],
    ["(($SET))", true],
    ['"a && b" == "a && b"', true],
  ])("%s is %s", async (text, expected) => {
    expect(await evaluateExpression(text, variables)).toBe(expected);
  });

  it.each([
    ["", "the condition is empty"],
    ["${SET} == 'x'", "write $NAME instead of ${NAME}"],
    ["$SET = 'x'", "write == to compare"],
    ["$SET & $PATH", "write && instead of &"],
    ["$SET == main", "main is neither a $VARIABLE nor in quotes"],
    ['$SET == "x', "the quote is not closed"],
    ["$SET =~ /x", "the regular expression is not closed"],
    ["$SET =~ /(/", "/(/ is not a valid RE2 regular expression"],
    ["$SET =~ /(?=x)/", "not a valid RE2 regular expression"],
    ["$SET == /x/", "a /pattern/ can only stand after =~ or !~"],
    ["$SET =~ null", "expected a /pattern/"],
    ["$SET ==", "the condition ends too early"],
    ["&& $SET", "expected a $VARIABLE, a string or null before &&"],
    ["($SET", "a parenthesis is not closed"],
    ["$SET)", "expected && or || here"],
    ["$SET $PATH", "expected && or || here"],
    ["# comment", "unexpected #"],
    [`${"(".repeat(200)}$A${")".repeat(200)}`, "nested parentheses"],
  ])("refuses %j: %s", async (text, message) => {
    const error = await evaluateExpression(text, variables).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ExpressionError);
    expect(CiConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      expression: text,
      code: "expression",
      retryable: false,
      message: expect.stringContaining(message) as string,
    });
  });

  it("names the character where reading stopped", async () => {
    await expect(evaluateExpression("$SET == main", {})).rejects.toMatchObject({ position: 8 });
  });

  it("never throws anything but its own error, whatever the text", async () => {
    const piece = oneof(
      constantFrom(
        "$A",
        "${",
        "==",
        "!=",
        "=~",
        "!~",
        "&&",
        "||",
        "(",
        ")",
        "null",
        '"',
        "'",
        "/a+/",
        "/[/",
        "/(?i)x/U",
        "/\\/",
        " ",
        "\n",
      ),
      string({ maxLength: 6, unit: "binary" }),
    );
    const text = array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
    await assert(
      asyncProperty(text, dictionary(constantFrom("A", "B"), string()), async (expression, values) => {
        const result = await evaluateExpression(expression, values).catch((error: unknown) => error);
        expect(typeof result === "boolean" || result instanceof ExpressionError).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
