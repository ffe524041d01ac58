import { expect, it } from "vitest";
import type { AgentSession } from "./wire";
import { ago, blocks, chip, mixed } from "./words";

const now = Date.parse("2026-01-02T00:00:00Z");

it.each([
  ["2026-01-01T23:59:01Z", "just now"],
  ["2026-01-02T00:05:00Z", "just now"],
  ["2026-01-01T23:57:00Z", "3m ago"],
  ["2026-01-01T22:00:01Z", "1h ago"],
  ["2025-12-30T00:00:00Z", "3d ago"],
])("%s was %s", (then, words) => expect(ago(then, now)).toBe(words));

const session = (resumed: string | null, last_active_at: string | null = null): AgentSession => ({
  chat_id: "c", agent: "demo", status: "idle", has_session: true, resumed, last_active_at,
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
