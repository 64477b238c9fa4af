import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { LeaseClaim } from "./lease_claim.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "./ports/rest.ts";

const HELD: JsonValue = {
  kind: "Lease",
  metadata: { name: "lease", namespace: "ns", resourceVersion: "1" },
  spec: { holderIdentity: "other", leaseDurationSeconds: 15, leaseTransitions: 0 },
};

type Answer = "held" | "missing" | "unreachable";

/** A candidate that looks at given times (s) and finds what is given; answers when it created the lease. */
async function createdAt(findings: readonly (readonly [second: number, answer: Answer])[]) {
  const clock = new VirtualClock();
  let answer: Answer = "held";
  let created: number | undefined;
  const performRequest = ({ method, bodyJson }: RequestOptions) => {
    if (method === "POST") {
      created ??= clock.monotonic() / 1000;
      return Promise.resolve(bodyJson);
    }
    if (answer === "held") return Promise.resolve(HELD);
    return Promise.reject(
      answer === "missing"
        ? new KubeApiError({ status: 404, reason: "NotFound", message: "Cannot find it" })
        : new KubeConnectionError("interrupted", "Cannot read the answer"),
    );
  };
  const claim = new LeaseClaim({
    rest: { performRequest } as RestClient,
    clock,
    namespace: "ns",
    name: "lease",
    identity: "me",
    durationSeconds: 15,
    requestTimeoutMs: 5_000,
  });
  for (const [second, what] of findings) {
    await clock.advance(second * 1000 - clock.monotonic());
    answer = what;
    const step = claim.step(new AbortController().signal);
    if (what === "unreachable") await assert.rejects(step);
    else await step;
  }
  return created;
}

Deno.test("a missing lease is made again after a whole term of finding it missing", async () => {
  assert.equal(
    await createdAt([[0, "held"], [2, "missing"], [16, "missing"], [17, "missing"]]),
    17,
  );
});

Deno.test("a look in vain breaks the row: the lease may have been there, and renewed", async () => {
  const row = [[0, "held"], [2, "missing"], [9, "unreachable"], [16, "missing"]] as const;
  assert.equal(await createdAt([...row, [17, "missing"], [30, "missing"]]), undefined);
  assert.equal(await createdAt([...row, [30, "missing"], [31, "missing"]]), 31);
});

Deno.test("not looking for a whole term breaks it, too", async () => {
  const row = [[0, "held"], [2, "missing"], [30, "missing"]] as const;
  assert.equal(await createdAt([...row, [44, "missing"]]), undefined);
  assert.equal(await createdAt([...row, [44, "missing"], [45, "missing"]]), 45);
});

Deno.test("what a proxy answers in place of the server is no lease, and gives none", async () => {
  let answers: JsonValue[] = [{ error: "please log in" }];
  const claim = new LeaseClaim({
    rest: { performRequest: () => Promise.resolve(answers.shift()) } as unknown as RestClient,
    clock: new VirtualClock(),
    namespace: "ns",
    name: "lease",
    identity: "me",
    durationSeconds: 15,
    requestTimeoutMs: 5_000,
  });
  const step = () => claim.step(new AbortController().signal);
  const isNone = { failure: "interrupted", message: /: the answer is no Lease$/ };
  await assert.rejects(step(), isNone);
  const free = { kind: "Lease", metadata: { resourceVersion: "1" }, spec: {} };
  answers = [free, { kind: "Status", status: "Success" }];
  await assert.rejects(step(), isNone);
});
