/** The two helpers of every controller: events.k8s.io/v1 Events, and Leases with their MicroTime. */
import assert from "node:assert/strict";
import { type Behaviour, MERGE, refused, type World } from "../world.ts";

function events(t: World): string {
  return `/apis/events.k8s.io/v1/namespaces/${t.namespace}/events`;
}

function event(t: World, change: Record<string, unknown> = {}): Record<string, never> {
  return {
    metadata: { name: "e", namespace: t.namespace },
    eventTime: "2026-01-02T03:04:05.123456Z",
    reportingController: "example.com/controller",
    reportingInstance: "controller-0",
    action: "Create",
    reason: "Made",
    regarding: { kind: "Pod", name: "p", namespace: t.namespace, apiVersion: "v1" },
    note: "It was made.",
    type: "Normal",
    ...change,
  } as never;
}

export const eventsAndLeases: readonly Behaviour[] = [
  {
    name: "an Event is one object in both of its API groups",
    async run(t) {
      const made = await t.create(events(t), event(t));
      assert.equal(made.apiVersion, "events.k8s.io/v1");
      assert.equal(made.eventTime, "2026-01-02T03:04:05.123456Z");
      const core = await t.get(`/api/v1/namespaces/${t.namespace}/events/e`);
      assert.equal(core.apiVersion, "v1");
      assert.equal(core.message, "It was made.");
      assert.equal(core.reportingComponent, "example.com/controller");
      assert.equal(core.involvedObject.name, "p");
      assert.equal(core.metadata.uid, made.metadata.uid);
      const found = await t.get(`/api/v1/namespaces/${t.namespace}/events`, {
        fieldSelector: "involvedObject.name=p,reason=Made,type=Normal",
      });
      assert.equal(found.items.length, 1);
      const none = await t.get(events(t), { fieldSelector: "regarding.name=q" });
      assert.deepEqual(none.items, []);
    },
  },
  {
    name: "a series is counted by a patch",
    async run(t) {
      await t.create(events(t), event(t));
      const series = { count: 2, lastObservedTime: "2026-01-02T03:05:00.000000Z" };
      const patched = await t.patch(`${events(t)}/e`, MERGE, { series });
      assert.deepEqual(patched.series, series);
    },
  },
  {
    name: "an Event without what it must say is refused",
    async run(t) {
      const cases: [Record<string, unknown>, string][] = [
        [{ reportingController: "" }, "reportingController"],
        [{ reportingInstance: "" }, "reportingInstance"],
        [{ action: "" }, "action"],
        [{ reason: "" }, "reason"],
        [{ type: "Curious" }, "type"],
        // Validated as the core version of the object, where it is called so.
        [{ note: "x".repeat(1025) }, "message"],
        [{ eventTime: null }, "eventTime"],
      ];
      for (const [change, field] of cases) {
        const error = await refused(t.create(events(t), event(t, change)), {
          code: 422,
          reason: "Invalid",
        });
        assert.deepEqual([...new Set(error.causes.map((cause) => cause.field))], [field]);
      }
    },
  },
  {
    name: "times of a Lease have six digits, whatever was sent",
    async run(t) {
      const made = await t.create(t.leases(), {
        metadata: { name: "l" },
        spec: {
          holderIdentity: "me",
          leaseDurationSeconds: 15,
          acquireTime: "2026-01-02T03:04:05.123456Z",
          renewTime: "2026-01-02T03:04:05.000000Z",
          leaseTransitions: 1,
        },
      });
      assert.deepEqual(made.spec, {
        holderIdentity: "me",
        leaseDurationSeconds: 15,
        acquireTime: "2026-01-02T03:04:05.123456Z",
        renewTime: "2026-01-02T03:04:05.000000Z",
        leaseTransitions: 1,
      });
      const patched = await t.patch(t.leases("l"), MERGE, {
        spec: { renewTime: "2026-01-02T03:04:06.000000+00:00" },
      });
      assert.equal(patched.spec.renewTime, "2026-01-02T03:04:06.000000Z");
      assert.equal(made.metadata.generation, undefined);
    },
  },
  {
    name: "a Lease's time that is none is refused",
    async run(t) {
      const body = { metadata: { name: "l" }, spec: { renewTime: "yesterday" } };
      await refused(t.create(t.leases(), body), {
        code: 400,
        reason: "BadRequest",
        message: /parsing time "yesterday"/,
      });
      const few = { metadata: { name: "l" }, spec: { renewTime: "2026-01-02T03:04:05Z" } };
      await refused(t.create(t.leases(), few), {
        code: 400,
        reason: "BadRequest",
        message: /parsing time "2026-01-02T03:04:05Z"/,
      });
    },
  },
  {
    name: "durations and transitions of a Lease are bounded",
    async run(t) {
      const spec = { leaseDurationSeconds: 0, leaseTransitions: -1 };
      const error = await refused(t.create(t.leases(), { metadata: { name: "l" }, spec }), {
        code: 422,
        reason: "Invalid",
      });
      assert.deepEqual(error.causes.map((cause) => cause.field).sort(), [
        "spec.leaseDurationSeconds",
        "spec.leaseTransitions",
      ]);
    },
  },
  {
    name: "a Lease is replaced at its version only, and a PUT may make it",
    async run(t) {
      const body = { metadata: { name: "l" }, spec: { holderIdentity: "one" } };
      const made = await t.replace(t.leases("l"), body);
      const spec = { holderIdentity: "two" };
      await t.replace(t.leases("l"), { ...made, spec });
      await refused(t.replace(t.leases("l"), { ...made, spec: { holderIdentity: "three" } }), {
        code: 409,
        reason: "Conflict",
        details: { name: "l", kind: "leases", group: "coordination.k8s.io" },
      });
      await refused(t.replace(t.leases("l"), body), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: "Invalid value: 0: must be specified for an update",
          field: "metadata.resourceVersion",
        }],
      });
      assert.deepEqual((await t.get(t.leases("l"))).spec, spec);
    },
  },
];
