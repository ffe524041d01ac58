import { expect, it } from "vitest";
import type { AgentSession } from "./generated/wire";
import { ago, blocks, chip, mixed, plain, sides, slash, titleFrom, withoutHeader } from "./words";

const now = Date.parse("2026-01-02T00:00:00Z");

it.each([
  ["2026-01-01T23:59:01Z", "just now"],
  ["2026-01-02T00:05:00Z", "just now"],
  ["2026-01-01T23:57:00Z", "3m ago"],
  ["2026-01-01T22:00:01Z", "1h ago"],
  ["2025-12-30T00:00:00Z", "3d ago"],
])("%s was %s", (then, words) => expect(ago(then, now)).toBe(words));

const session = (resumed: string | null, last_active_at: string | null = null): AgentSession => ({
  chat_id: "c", agent: "demo", status: "idle", has_session: true, resumed, last_active_at, input_tokens: 0, output_tokens: 0, cost: 0,
});

it("the chip says what happened", () => {
  expect(chip(undefined, now)).toBeUndefined();
  expect(chip(session(null), now)).toBeUndefined();
  expect(chip(session("native", "2026-01-01T23:57:00Z"), now)).toBe("resumed, last active 3m ago");
  expect(chip(session("native"), now)).toBe("resumed");
  expect(chip(session("history"), now)).toBe("history");
  expect(chip(session("new"), now)).toBe("new session");
});

it("names those who made changes when there are several", () => {
  expect(mixed(["demo", "demo"])).toBeUndefined();
  expect(mixed([])).toBeUndefined();
  expect(mixed(["qwen", null, "demo", "qwen"])).toBe("Changes from demo, manual, qwen");
});

it("divides markdown outside fences and loses nothing", () => {
  const text = "one\n\n```\na\n\nb\n```\n\ntwo";
  expect(blocks(text)).toEqual(["one\n\n", "```\na\n\nb\n```\n\n", "two"]);
  expect(blocks("````\n```\n\nx\n````")).toHaveLength(1);
  for (const long of ["word ".repeat(5000), "x".repeat(20_000), "a line\n".repeat(3000)]) {
    expect(blocks(long).join("")).toBe(long);
    expect(Math.max(...blocks(long).map((block) => block.length))).toBeLessThan(4100);
  }
});

it("puts what went beside what came", () => {
  expect(sides("@@ -1,3 +1,3 @@\n a\n-b\n-c\n+B\n d")).toEqual([
    { whole: "@@ -1,3 +1,3 @@" }, { left: "a", right: "a" }, { changed: true, left: "b", right: "B" }, { changed: true, left: "c" }, { left: "d", right: "d" },
  ]);
  expect(sides("+new\n-old")).toEqual([{ changed: true, right: "new" }, { changed: true, left: "old" }]);
});

it("shows a difference without git's header, and one without hunks whole", () => {
  expect(withoutHeader("diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b")).toBe("@@ -1 +1 @@\n-a\n+b");
  expect(withoutHeader("diff --git a/x b/x\nold mode 100644")).toContain("old mode");
});

it("shows what a terminal would, without its colours", () => {
  expect(plain("\u001b[1;31mred\u001b[0m\u001b]0;title\u0007 text")).toBe("red text");
  expect(plain("10%\r20%\r100%\ndone\r\n")).toBe("100%\ndone\r\n");
});

it("knows a command that is being written", () => {
  expect(slash("/")).toBe("");
  expect(slash("/com")).toBe("com");
  expect(slash("/compact now")).toBeUndefined();
  expect(slash("say /x")).toBeUndefined();
});

it("takes a title from what was said first", () => {
  expect(titleFrom("\n  fix the \u202eparser\nand more")).toBe("fix the parser");
  expect(titleFrom(" \n\t")).toBeUndefined();
  expect(titleFrom("x".repeat(80))).toBe(`${"x".repeat(60)}…`);
});
