import assert from "node:assert/strict";
import fc from "fast-check";
import type { StoredObject, WatchEvent } from "./ports/codec.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import { BACKOFF, BACKOFF_RESET_MS } from "./watch_failure.ts";
import { INITIAL_STATE, step } from "./watch_machine.ts";
import {
  BACKWARDS_INSIST_MS,
  type Input,
  LIST_PAGES_MAX,
  type Step,
  type WatchState,
} from "./watch_protocol.ts";

type Thing = StoredObject;
/** An input less its moment. */
type Bare<I> = I extends unknown ? Omit<I, "now" | "random"> : never;
type Happens = Bare<Input<Thing>>;

const thing = (name: string, version: string): Thing => ({
  namespace: "ns",
  name,
  uid: name,
  resourceVersion: version,
});
const added = (name: string, version: string): WatchEvent<Thing> => ({
  type: "ADDED",
  object: thing(name, version),
});
const deleted = (name: string, version: string): WatchEvent<Thing> => ({
  type: "DELETED",
  object: thing(name, version),
});
const bookmark = (resourceVersion: string, initialEventsEnd = false): WatchEvent<Thing> => ({
  type: "BOOKMARK",
  resourceVersion,
  initialEventsEnd,
});
const events = (...events: WatchEvent<Thing>[]): Happens => ({ kind: "events", events });
const page = (version: string, continueToken = "", ...items: Thing[]): Happens => ({
  kind: "page",
  page: { items, resourceVersion: version, continueToken },
});
const api = (status: number, more: { reason?: string; retryAfterMs?: number } = {}) =>
  new KubeApiError({ status, message: `status ${status}`, ...more });
const failed = (error: unknown): Happens => ({ kind: "failed", error });
const tooLarge = () =>
  new KubeApiError({
    status: 504,
    reason: "Timeout",
    message: "Too large resource version: 9, current: 3",
    details: { causes: [{ reason: "ResourceVersionTooLarge" }] },
  });

/** One machine on its way; `happens` feeds it and answers with what it does next, in short. */
class Machine {
  state: WatchState = INITIAL_STATE;
  last: Step<Thing> | undefined;
  now = 1_000_000;
  random = 0;

  happens(...inputs: Happens[]): string {
    for (const input of inputs) {
      this.last = step(
        this.state,
        { ...input, now: this.now, random: this.random } as Input<Thing>,
      );
      this.state = this.last.state;
    }
    return this.next();
  }

  next(): string {
    const next = this.last?.next;
    switch (next?.kind) {
      case "list": {
        const { resourceVersion, limit, continueToken } = next.query;
        return `list rv=${resourceVersion} limit=${limit}${
          continueToken && ` continue=${continueToken}`
        }`;
      }
      case "watch":
        return `${
          next.query.sendInitialEvents ? "stream" : "watch"
        } rv=${next.query.resourceVersion}`;
      case "wait": {
        const { phase } = this.state;
        assert.ok(phase.name === "waiting");
        return `wait ${next.ms} ${phase.then}`;
      }
      case "read":
        return `read ${next.idleMs}`;
      default:
        throw new Error("it has not begun");
    }
  }

  /** Effects of the last step, in short. */
  effects(): string[] {
    return (this.last?.effects ?? []).map((effect) => {
      switch (effect.kind) {
        case "stage":
          return `stage ${effect.objects.map(({ name }) => name)}`;
        case "unstage":
        case "upsert":
        case "remove":
          return `${effect.kind} ${effect.object.name}`;
        case "commit":
          return `commit ${effect.resourceVersion}${effect.initial ? " initial" : ""}${
            effect.reset ? " reset" : ""
          }`;
        case "progress":
          return `progress ${effect.resourceVersion}`;
        case "watch-end":
          return `watch-end ${effect.reason}`;
        case "trouble":
          return `trouble ${effect.failure.reason}`;
        default:
          return effect.kind;
      }
    });
  }
}

// The states a machine can be in, by how it gets there.

const STATES: Record<string, () => Machine> = {
  "first stream": () => {
    const machine = new Machine();
    machine.happens({ kind: "waited" });
    return machine;
  },
  "first list": () => {
    const machine = STATES["first stream"]?.() as Machine;
    machine.happens(failed(api(422)));
    return machine;
  },
  "second page": () => {
    const machine = STATES["first list"]?.() as Machine;
    machine.happens(page("7", "more", thing("a", "1")));
    return machine;
  },
  "watch": () => {
    const machine = STATES["first stream"]?.() as Machine;
    machine.happens({ kind: "opened" }, events(added("a", "1"), bookmark("7", true)));
    machine.now += 60_000;
    return machine;
  },
  "watch that said nothing": () => {
    const machine = STATES["watch"]?.() as Machine;
    machine.happens({ kind: "closed" }, { kind: "opened" });
    machine.now += 60_000;
    return machine;
  },
  "stream again": () => {
    const machine = STATES["watch"]?.() as Machine;
    machine.happens(failed(api(410)));
    return machine;
  },
  "list again": () => {
    const machine = STATES["stream again"]?.() as Machine;
    machine.happens(failed(api(500)));
    return machine;
  },
};

const FAILURES: Record<string, Happens> = {
  "410": failed(api(410, { reason: "Expired" })),
  "504 too large": failed(tooLarge()),
  "401": failed(api(401)),
  "403": failed(api(403)),
  "404": failed(api(404)),
  "422": failed(api(422)),
  "429": failed(api(429)),
  "500": failed(api(500)),
  "bad JSON": failed(new SyntaxError("Cannot decode the watch: not JSON")),
  "refused connection": failed(new KubeConnectionError("connect", "refused")),
  "broken connection": failed(new KubeConnectionError("interrupted", "reset")),
  "header deadline": failed(new KubeConnectionError("timeout", "no answer")),
};
const ENDS: Record<string, Happens> = { EOF: { kind: "closed" }, idle: { kind: "stalled" } };

// Jitter 0: the first wait is 800 ms.
const EXPECTED: Record<string, Record<string, string>> = {
  "first stream": {
    "410": "stream rv=",
    "504 too large": "stream rv=",
    "401": "wait 800 relist",
    "403": "wait 800 relist",
    "404": "wait 5000 relist",
    "422": "list rv=0 limit=500",
    "429": "wait 800 relist",
    "500": "list rv=0 limit=500",
    "bad JSON": "list rv=0 limit=500",
    "refused connection": "wait 800 relist",
    "broken connection": "list rv=0 limit=500",
    "header deadline": "list rv=0 limit=500",
    EOF: "list rv=0 limit=500",
    idle: "list rv=0 limit=500",
  },
  "first list": {
    "410": "list rv= limit=500",
    "504 too large": "list rv= limit=500",
    "401": "wait 800 relist",
    "403": "wait 800 relist",
    "404": "wait 5000 relist",
    "422": "wait 800 relist",
    "429": "wait 800 relist",
    "500": "wait 800 relist",
    "bad JSON": "wait 800 relist",
    "refused connection": "wait 800 relist",
    "broken connection": "wait 800 relist",
    "header deadline": "wait 800 relist",
  },
  "second page": {
    "410": "list rv=0 limit=0",
    "504 too large": "list rv= limit=500",
    "401": "wait 800 relist",
    "403": "wait 800 relist",
    "404": "wait 5000 relist",
    "422": "wait 800 relist",
    "429": "wait 800 relist",
    "500": "wait 800 relist",
    "bad JSON": "wait 800 relist",
    "refused connection": "wait 800 relist",
    "broken connection": "wait 800 relist",
    "header deadline": "wait 800 relist",
  },
  "watch": {
    "410": "stream rv=7",
    "504 too large": "wait 800 relist",
    "401": "wait 800 rewatch",
    "403": "wait 800 rewatch",
    "404": "wait 5000 relist",
    "422": "wait 800 relist",
    "429": "wait 800 rewatch",
    "500": "wait 800 relist",
    "bad JSON": "wait 800 relist",
    "refused connection": "wait 800 rewatch",
    "broken connection": "wait 800 rewatch",
    "header deadline": "wait 800 rewatch",
    EOF: "watch rv=7",
    idle: "watch rv=7",
  },
  "watch that said nothing": {
    "410": "stream rv=7",
    "504 too large": "wait 800 relist",
    "401": "wait 800 rewatch",
    "403": "wait 800 rewatch",
    "404": "wait 5000 relist",
    "422": "wait 800 relist",
    "429": "wait 800 rewatch",
    "500": "wait 800 relist",
    "bad JSON": "wait 800 relist",
    "refused connection": "wait 800 rewatch",
    "broken connection": "wait 800 rewatch",
    "header deadline": "wait 800 rewatch",
    EOF: "watch rv=7",
    idle: "watch rv=7",
  },
  "stream again": {
    "410": "stream rv=",
    "504 too large": "stream rv=",
    "401": "wait 800 relist",
    "403": "wait 800 relist",
    "404": "wait 5000 relist",
    "422": "list rv=7 limit=0",
    "429": "wait 800 relist",
    "500": "list rv=7 limit=0",
    "bad JSON": "list rv=7 limit=0",
    "refused connection": "wait 800 relist",
    "broken connection": "list rv=7 limit=0",
    "header deadline": "list rv=7 limit=0",
    EOF: "list rv=7 limit=0",
    idle: "list rv=7 limit=0",
  },
  "list again": {
    "410": "list rv= limit=500",
    "504 too large": "list rv= limit=500",
    "401": "wait 800 relist",
    "403": "wait 800 relist",
    "404": "wait 5000 relist",
    "422": "wait 800 relist",
    "429": "wait 800 relist",
    "500": "wait 800 relist",
    "bad JSON": "wait 800 relist",
    "refused connection": "wait 800 relist",
    "broken connection": "wait 800 relist",
    "header deadline": "wait 800 relist",
  },
};

for (const [name, begin] of Object.entries(STATES)) {
  Deno.test(`${name}: every failure leads on as client-go's reflector would, or milder`, () => {
    const streams = !name.includes("list") && !name.includes("page");
    const failures = { ...FAILURES, ...(streams ? ENDS : {}) };
    const actual = Object.fromEntries(
      Object.entries(failures).map(([failure, input]) => [failure, begin().happens(input)]),
    );
    assert.deepEqual(actual, EXPECTED[name]);
  });

  Deno.test(`${name}: a wait always comes with its trouble, and nothing else does`, () => {
    for (const [failure, input] of Object.entries({ ...FAILURES })) {
      const machine = begin();
      const waits = machine.happens(input).startsWith("wait");
      const troubled = machine.effects().some((effect) => effect.startsWith("trouble"));
      assert.equal(troubled, waits, failure);
    }
  });
}

Deno.test("the first thing asked for is a stream of the newest, for 300 to 600 seconds", () => {
  for (const [random, seconds] of [[0, 300], [0.5, 450], [0.9999, 599]] as const) {
    const { next } = step(INITIAL_STATE, { kind: "waited", now: 0, random });
    assert.deepEqual(next, {
      kind: "watch",
      query: { resourceVersion: "", sendInitialEvents: true, timeoutSeconds: seconds },
    });
  }
});

Deno.test("a stream is staged and replaces the store at the end of the initial events", () => {
  const machine = STATES["first stream"]?.() as Machine;
  assert.deepEqual(machine.effects(), ["stage-clear"]);
  assert.equal(machine.happens({ kind: "opened" }), "read 30000");
  machine.happens(events(added("a", "3"), added("b", "2"), deleted("b", "4")));
  assert.deepEqual(machine.effects(), ["stage a", "stage b", "unstage b"]);
  const next = machine.happens(events(added("c", "5"), bookmark("7", true), added("d", "8")));
  assert.equal(next, "read 150000");
  assert.deepEqual(machine.effects(), [
    "stage c",
    "commit 7 initial",
    "following",
    "upsert d",
    "progress 8",
  ]);
  machine.now += 2_000;
  assert.equal(machine.happens({ kind: "closed" }), "watch rv=8");
});

Deno.test("pages are staged and replace the store after the last one, then the watch begins", () => {
  const machine = STATES["first list"]?.() as Machine;
  assert.equal(
    machine.happens(page("7", "next", thing("a", "1"))),
    "list rv=0 limit=500 continue=next",
  );
  assert.deepEqual(machine.effects(), ["stage a"]);
  assert.equal(machine.happens(page("7", "", thing("b", "2"))), "watch rv=7");
  assert.deepEqual(machine.effects(), ["stage b", "commit 7 initial"]);
  assert.equal(machine.happens({ kind: "opened" }), "read 150000");
  assert.deepEqual(machine.effects(), ["following"]);
});

Deno.test("a server that pages even its cache's list is always asked for pages", () => {
  const machine = STATES["second page"]?.() as Machine;
  machine.happens(page("7"), { kind: "opened" }, failed(api(500)), { kind: "waited" });
  assert.equal(machine.next(), "list rv=7 limit=500");
});

Deno.test("a list that never ends is given up", () => {
  const machine = STATES["first list"]?.() as Machine;
  for (let pages = 1; pages < LIST_PAGES_MAX; pages++) {
    assert.match(machine.happens(page("7", `p${pages}`)), /^list/);
  }
  assert.equal(machine.happens(page("7", "again")), "wait 800 relist");
});

Deno.test("a page expired midway is asked for again as one list, and then as the newest", () => {
  const machine = STATES["second page"]?.() as Machine;
  assert.equal(machine.happens(failed(api(410))), "list rv=0 limit=0");
  assert.deepEqual(machine.effects(), ["stage-clear"]);
  assert.equal(machine.happens(failed(api(410))), "list rv= limit=500");
  assert.equal(machine.happens(failed(api(410))), "wait 800 relist");
});

Deno.test("an expired version is asked for once more as the newest, then with a wait", () => {
  const machine = STATES["stream again"]?.() as Machine;
  assert.equal(machine.happens(failed(api(410))), "stream rv=");
  assert.equal(machine.happens(failed(api(410))), "wait 800 relist");
});

Deno.test("a server without streams is not asked for them again until the connection was lost", () => {
  const machine = STATES["first list"]?.() as Machine;
  machine.happens(page("7"), { kind: "opened" }, failed(api(410)));
  assert.equal(machine.next(), "list rv=7 limit=0");
  machine.happens(failed(new KubeConnectionError("connect", "down")), { kind: "waited" });
  assert.equal(machine.next(), "stream rv=7");
});

Deno.test("a plain bookmark before the end of the initial events tells an old server", () => {
  const machine = STATES["first stream"]?.() as Machine;
  const next = machine.happens({ kind: "opened" }, events(added("a", "1"), bookmark("7")));
  assert.equal(next, "list rv=0 limit=500");
  assert.deepEqual(machine.effects(), ["stage a", "watch-end refused", "stage-clear"]);
});

Deno.test("a watch that ends within a second waits, and lists again if it said nothing", () => {
  const machine = STATES["watch"]?.() as Machine;
  machine.happens({ kind: "closed" }, { kind: "opened" });
  machine.now += 999;
  assert.equal(machine.happens({ kind: "closed" }), "wait 800 relist");
  const talker = STATES["watch"]?.() as Machine;
  talker.happens({ kind: "closed" }, { kind: "opened" }, events(bookmark("9")));
  talker.now += 999;
  assert.equal(talker.happens({ kind: "closed" }, { kind: "waited" }), "watch rv=9");
});

Deno.test("bookmarks alone move the version on", () => {
  const machine = STATES["watch"]?.() as Machine;
  machine.happens(events(bookmark("20")), events(bookmark("30")));
  assert.deepEqual(machine.effects(), ["progress 30"]);
  assert.equal(machine.happens({ kind: "closed" }), "watch rv=30");
});

Deno.test("silence renews the watch, and after four silent watches reads all again", () => {
  const machine = STATES["watch"]?.() as Machine;
  const silence = () => {
    const next = machine.happens({ kind: "stalled" });
    machine.happens({ kind: "opened" });
    return next;
  };
  assert.deepEqual([silence(), silence(), silence()], Array(3).fill("watch rv=7"));
  machine.happens(events(bookmark("9")));
  assert.deepEqual([silence(), silence(), silence()], Array(3).fill("watch rv=9"));
  assert.equal(silence(), "stream rv=9");
});

Deno.test("an error event ends the watch after the events before it", () => {
  const machine = STATES["watch"]?.() as Machine;
  const error = api(410, { reason: "Expired" });
  const next = machine.happens(events(added("b", "9"), { type: "ERROR", error }, added("c", "10")));
  assert.equal(next, "stream rv=9");
  assert.deepEqual(machine.effects(), [
    "upsert b",
    "progress 9",
    "watch-end expired",
    "stage-clear",
  ]);
});

Deno.test("an error event during a stream falls back to a list", () => {
  const machine = STATES["first stream"]?.() as Machine;
  const error = api(500);
  assert.equal(machine.happens(events({ type: "ERROR", error })), "list rv=0 limit=500");
});

Deno.test("Retry-After is a lower bound of the wait, itself bounded", () => {
  const wait = (retryAfterMs: number) =>
    (STATES["watch"]?.() as Machine).happens(failed(api(429, { retryAfterMs })));
  assert.equal(wait(1), "wait 800 rewatch");
  assert.equal(wait(7_000), "wait 7000 rewatch");
  assert.equal(wait(86_400_000), "wait 120000 rewatch");
});

Deno.test("waits double from 800 ms to 30 s, are stretched by up to 2, and start over after 2 min", () => {
  const machine = STATES["first stream"]?.() as Machine;
  const waits: number[] = [];
  const fail = () => {
    machine.happens(failed(api(403)));
    const next = machine.last?.next;
    assert.ok(next?.kind === "wait");
    machine.happens({ kind: "waited" });
    return next.ms;
  };
  for (let i = 0; i < 8; i++) waits.push(fail());
  assert.deepEqual(waits, [800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
  machine.random = 0.5;
  assert.equal(fail(), 45_000);
  machine.now += BACKOFF_RESET_MS;
  assert.equal(fail(), 1200);
});

Deno.test("a watch that expires again and again waits between its lists", () => {
  const machine = STATES["watch"]?.() as Machine;
  const again = () =>
    machine.happens(
      { kind: "opened" },
      events(bookmark("7", true)),
      failed(api(410)),
    );
  assert.equal(machine.happens(failed(api(410))), "stream rv=7");
  assert.equal(again(), "wait 800 relist");
  machine.happens({ kind: "waited" });
  assert.equal(again(), "wait 1600 relist");
});

Deno.test("after an outage, however long, what the server answers is not waited for long", () => {
  const machine = STATES["watch"]?.() as Machine;
  const down = new KubeConnectionError("connect", "refused");
  for (let i = 0; i < 10; i++) machine.happens(failed(down), { kind: "waited" });
  assert.equal(machine.happens(failed(api(429, { retryAfterMs: 1_000 }))), "wait 3200 rewatch");
  machine.happens({ kind: "waited" });
  assert.equal(machine.happens(failed(api(410))), "stream rv=7");
});

Deno.test("a missing type is asked for every 5 s without end, and without growing the backoff", () => {
  const machine = STATES["first stream"]?.() as Machine;
  for (let i = 0; i < 100; i++) {
    assert.equal(machine.happens(failed(api(404))), "wait 5000 relist");
    machine.happens({ kind: "waited" });
  }
  assert.equal(machine.happens(failed(api(403))), "wait 800 relist");
});

Deno.test("a list older than the store is thrown away and asked for again from our version on", () => {
  const machine = STATES["stream again"]?.() as Machine;
  machine.happens(failed(tooLarge()), { kind: "opened" });
  const next = machine.happens(events(added("old", "2"), bookmark("5", true)));
  assert.equal(next, "wait 800 relist");
  assert.deepEqual(machine.effects(), ["watch-end backwards", "stage old", "trouble backwards"]);
  assert.equal(machine.happens({ kind: "waited" }), "stream rv=7");
});

Deno.test("a server that insists on older data for a minute is believed: a backup was restored", () => {
  const machine = STATES["list again"]?.() as Machine;
  const begun = machine.now;
  const commits: string[] = [];
  while (commits.length === 0) {
    machine.happens(page("5", "", thing("restored", "4")));
    commits.push(...machine.effects().filter((effect) => effect.startsWith("commit")));
    const next = machine.last?.next;
    if (next?.kind !== "wait") break;
    machine.now += next.ms;
    machine.happens({ kind: "waited" }, failed(api(500)));
  }
  assert.deepEqual(commits, ["commit 5 reset"]);
  assert.equal(machine.next(), "watch rv=5");
  assert.ok(machine.now - begun >= BACKWARDS_INSIST_MS);
});

Deno.test("a bookmark older than what was seen sends us to another list", () => {
  const machine = STATES["watch"]?.() as Machine;
  assert.equal(machine.happens(events(bookmark("6"))), "wait 800 relist");
  assert.deepEqual(machine.effects(), ["watch-end backwards", "trouble backwards"]);
  assert.equal(machine.happens({ kind: "waited" }), "stream rv=7");
});

Deno.test("an input that cannot come now is a bug, not a state", () => {
  const machine = STATES["watch"]?.() as Machine;
  assert.throws(() => machine.happens(page("7")), /page while a watch is open/);
  assert.throws(() => new Machine().happens({ kind: "closed" }), /closed while waiting/);
});

Deno.test("whatever a server does, at most 8 requests go out between two waits or silences", () => {
  const replies = fc.constantFrom<Happens>(
    ...Object.values(FAILURES),
    ...Object.values(ENDS),
    page("5"),
    page("9", "more"),
    page("12"),
    events(bookmark("12", true)),
    events(added("a", "13")),
    events(bookmark("3")),
    { kind: "opened" },
  );
  fc.assert(fc.property(fc.array(replies, { size: "max", maxLength: 200 }), (replies) => {
    const machine = new Machine();
    machine.happens({ kind: "waited" });
    let requests = 1;
    for (const reply of replies) {
      const phase = machine.state.phase.name;
      const streams = phase === "watching" || phase === "streaming";
      const fits = phase === "listing"
        ? reply.kind === "failed" || reply.kind === "page"
        : streams && reply.kind !== "page";
      if (!fits || (reply.kind === "page" && reply.page.continueToken !== "")) continue;
      machine.happens(reply);
      const kind = machine.last?.next.kind;
      if (kind === "list" || kind === "watch") requests++;
      if (reply.kind === "stalled" && phase === "watching") requests = 1; // it took minutes
      if (kind === "wait") {
        requests = 1;
        machine.happens({ kind: "waited" });
      }
      assert.ok(requests <= 8, `${requests} requests without a wait`);
    }
  }));
});

Deno.test("the version that is followed never falls, whatever comes, but by a reset", () => {
  const versions = fc.integer({ min: 1, max: 40 }).map(String);
  const reply = fc.oneof(
    fc.constantFrom<Happens>(...Object.values(FAILURES), { kind: "closed" }, { kind: "opened" }),
    versions.map((version) => page(version)),
    fc.tuple(versions, fc.boolean()).map(([version, end]) => events(bookmark(version, end))),
    versions.map((version) => events(added("a", version))),
  );
  fc.assert(fc.property(fc.array(reply, { size: "max", maxLength: 100 }), (replies) => {
    const machine = new Machine();
    machine.happens({ kind: "waited" });
    for (const reply of replies) {
      const listing = machine.state.phase.name === "listing";
      if (listing ? !["failed", "page"].includes(reply.kind) : reply.kind === "page") continue;
      const before = Number(machine.state.resourceVersion || "0");
      machine.happens(reply);
      const reset = machine.effects().some((effect) => effect.endsWith("reset"));
      assert.ok(reset || Number(machine.state.resourceVersion || "0") >= before);
      if (machine.last?.next.kind === "wait") {
        machine.now += BACKOFF.initialMs;
        machine.happens({ kind: "waited" });
      }
    }
  }));
});
