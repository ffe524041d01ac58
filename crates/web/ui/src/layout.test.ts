import { expect, it } from "vitest";
import { close, INITIAL, MOST_PANES, pick, restore, show, split } from "./layout";

const two = split(show(INITIAL, "a"), { session: "b" });

it("shows a session in the active pane, or goes to where it is", () => {
  expect(show(INITIAL, "a").panes).toEqual([{ session: "a" }]);
  expect(two).toMatchObject({ panes: [{ session: "a" }, { session: "b" }], active: 1 });
  expect(show(two, "a")).toMatchObject({ panes: two.panes, active: 0 });
  expect(show(two, "c").panes).toEqual([{ session: "a" }, { session: "c" }]);
});

it("keeps the active pane when another is closed, and has as many as can be read", () => {
  expect(close(two, 0)).toMatchObject({ panes: [{ session: "b" }], active: 0 });
  expect(close(two, 1)).toMatchObject({ panes: [{ session: "a" }], active: 0 });
  expect(close(close(two, 0), 0)).toMatchObject({ panes: [], active: 0 });
  let full = two;
  for (let more = 0; more < MOST_PANES; more += 1) full = split(full);
  expect(full.panes).toHaveLength(MOST_PANES);
  expect(split(INITIAL)).toBe(INITIAL);
  expect(pick(two, 0, "chat")).toMatchObject({ panes: [{ session: "a", chat: "chat" }, { session: "b" }], active: 0 });
});

it("takes up what was kept, and nothing that cannot be read", () => {
  expect(restore(JSON.stringify(two))).toEqual(two);
  expect(restore(null)).toEqual(INITIAL);
  expect(restore("nonsense")).toEqual(INITIAL);
  expect(restore(null, false).changes).toBe(false);
  expect(restore('{"panes":[{"session":1},null,{"session":"a"}],"active":9,"theme":"pink"}')).toMatchObject({ panes: [{ session: "a" }], active: 0, theme: "system" });
});
