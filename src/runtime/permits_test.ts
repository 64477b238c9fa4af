import assert from "node:assert/strict";
import { Permits } from "./permits.ts";

Deno.test("permits go to those who wait, in their order", async () => {
  const permits = new Permits(2);
  assert.equal(permits.acquire(), undefined);
  assert.equal(permits.acquire(), undefined);
  const granted: number[] = [];
  const waits = [1, 2, 3].map((n) => permits.acquire()?.then(() => granted.push(n)));
  permits.release();
  permits.release();
  await Promise.all(waits.slice(0, 2));
  assert.deepEqual(granted, [1, 2]);
  assert.equal(permits.waiting, 1);
  permits.release();
  await Promise.all(waits);
  for (let i = 0; i < 2; i++) permits.release();
  assert.equal(permits.acquire(), undefined, "released ones are free again");
});

Deno.test("who stops waiting takes no permit, and leaves the others theirs", async () => {
  const permits = new Permits(1);
  permits.acquire();
  const stop = new AbortController();
  const given = permits.acquire(stop.signal);
  const other = permits.acquire();
  stop.abort(new Error("enough"));
  await assert.rejects(given as Promise<void>, /enough/);
  permits.release();
  await other;
  permits.release();
  assert.equal(permits.acquire(), undefined);
  assert.throws(() => permits.acquire(stop.signal), /enough/);
});
