/** Deletion: preconditions, finalizers, owners, graces, collections, namespaces. */
import assert from "node:assert/strict";
import { type Behaviour, type Json, MERGE, refused, type World } from "../world.ts";

const FINALIZER = "example.com/hold";
const SPEC = { containers: [{ name: "c", image: "i" }] };

function make(t: World, metadata: Record<string, unknown>): Promise<Json> {
  return t.create(t.configMaps(), { metadata: { name: "a", ...metadata } } as never);
}

function gone(t: World, path: string): Promise<unknown> {
  return t.eventually(`${path} is gone`, async () => !await t.exists(path));
}

/**
 * Waits until the collector has seen the dependents there are: of one kind it sees changes in their order,
 * and it takes the last of them away, which belongs to nobody.
 */
async function untilCollectorIsHere(t: World): Promise<void> {
  const nobody = { metadata: { name: "nobody", uid: crypto.randomUUID() } };
  await make(t, { name: "last", ...ownedBy(nobody) });
  await gone(t, t.configMaps("last"));
}

function ownedBy(owner: Json, kind = "ConfigMap"): Record<string, unknown> {
  const { name, uid } = owner.metadata;
  return { ownerReferences: [{ apiVersion: "v1", kind, name, uid }] };
}

export const deletion: readonly Behaviour[] = [
  {
    name: "a deletion answers with a Status that names what went",
    async run(t) {
      const made = await make(t, {});
      const status = await t.delete(t.configMaps("a"));
      assert.equal(status.kind, "Status");
      assert.equal(status.status, "Success");
      assert.deepEqual(status.details, { name: "a", kind: "configmaps", uid: made.metadata.uid });
      assert.equal(await t.exists(t.configMaps("a")), false);
    },
  },
  {
    name: "preconditions on uid and resourceVersion must hold",
    async run(t) {
      const made = await make(t, {});
      const { uid, resourceVersion } = made.metadata;
      const other = "11111111-1111-1111-1111-111111111111";
      const refusedWith = (preconditions: Record<string, string>, message: string) =>
        refused(t.delete(t.configMaps("a"), { preconditions }), {
          code: 409,
          reason: "Conflict",
          message,
          details: { name: "a", kind: "ConfigMap" },
        });
      await refusedWith(
        { uid: other },
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition ' +
          `(${other}) does not match the UID in record (${uid}). The object might have been ` +
          "deleted and then recreated",
      );
      await refusedWith(
        { uid, resourceVersion: "1" },
        'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition ' +
          `(1) does not match the ResourceVersion in record (${resourceVersion}). The object ` +
          "might have been modified",
      );
      await t.delete(t.configMaps("a"), { preconditions: { uid, resourceVersion } });
      assert.equal(await t.exists(t.configMaps("a")), false);
    },
  },
  {
    name: "a finalizer keeps a deleted object until it is removed",
    async run(t) {
      const made = await make(t, { finalizers: [FINALIZER] });
      const marked = await t.delete(t.configMaps("a"));
      assert.equal(marked.kind, "ConfigMap");
      assert.match(marked.metadata.deletionTimestamp, /^\d{4}-/);
      assert.equal(marked.metadata.deletionGracePeriodSeconds, 0);
      assert.notEqual(marked.metadata.resourceVersion, made.metadata.resourceVersion);
      const again = await t.delete(t.configMaps("a"));
      assert.equal(again.metadata.resourceVersion, marked.metadata.resourceVersion);
      // It may still change, but gets no more finalizers, and its name stays taken.
      await t.patch(t.configMaps("a"), MERGE, { data: { k: "v" } });
      await refused(
        t.patch(t.configMaps("a"), MERGE, {
          metadata: { finalizers: [FINALIZER, "example.com/more"] },
        }),
        {
          code: 422,
          reason: "Invalid",
          message: /no new finalizers can be added if the object is being deleted/,
        },
      );
      await refused(make(t, {}), {
        code: 409,
        reason: "AlreadyExists",
        message: 'object is being deleted: configmaps "a" already exists',
      });
      await using watch = await t.watch(t.configMaps(), { fieldSelector: "metadata.name=a" });
      await watch.see(1);
      await t.patch(t.configMaps("a"), MERGE, { metadata: { finalizers: null } });
      assert.equal(await t.exists(t.configMaps("a")), false);
      assert.deepEqual(await watch.see(2), ["ADDED a", "DELETED a"]);
    },
  },
  {
    name: "what belongs to a deleted owner is collected, what has another owner is not",
    async run(t) {
      const owner = await make(t, { name: "owner" });
      const other = await make(t, { name: "other" });
      await make(t, { name: "owned", ...ownedBy(owner) });
      const references = [ownedBy(owner), ownedBy(other)].flatMap((o) => o.ownerReferences);
      await make(t, { name: "shared", ownerReferences: references });
      await make(t, { name: "free" });
      await t.delete(t.configMaps("owner"), { propagationPolicy: "Background" });
      await gone(t, t.configMaps("owned"));
      const shared = await t.eventually("the shared one has lost its owner", async () => {
        const object = await t.get(t.configMaps("shared"));
        return object.metadata.ownerReferences.length === 1 && object;
      });
      assert.equal(shared.metadata.ownerReferences[0].uid, other.metadata.uid);
      assert.equal(await t.exists(t.configMaps("free")), true);
    },
  },
  {
    name: "what is created for an owner that is gone, or of another uid, is collected",
    async run(t) {
      const owner = await make(t, { name: "owner" });
      const reference = { ...owner, metadata: { ...owner.metadata, uid: "no-such-uid" } };
      await make(t, { name: "stray", ...ownedBy(reference) });
      await gone(t, t.configMaps("stray"));
      assert.equal(await t.exists(t.configMaps("owner")), true);
    },
  },
  {
    name: "orphaning keeps the dependents and drops their reference",
    async run(t) {
      const owner = await make(t, { name: "owner" });
      await make(t, { name: "owned", ...ownedBy(owner) });
      // A deletion before that could not orphan it.
      await untilCollectorIsHere(t);
      await t.delete(t.configMaps("owner"), { propagationPolicy: "Orphan" });
      await gone(t, t.configMaps("owner"));
      const owned = await t.eventually("the reference is dropped", async () => {
        const object = await t.get(t.configMaps("owned"));
        return object.metadata.ownerReferences === undefined && object;
      });
      assert.equal(owned.metadata.deletionTimestamp, undefined);
    },
  },
  {
    name: "a foreground deletion waits for dependents that block it",
    async run(t) {
      const owner = await make(t, { name: "owner" });
      const [reference] = ownedBy(owner).ownerReferences as Json[];
      await make(t, {
        name: "owned",
        finalizers: [FINALIZER],
        ownerReferences: [{ ...reference, blockOwnerDeletion: true }],
      });
      await untilCollectorIsHere(t);
      await t.delete(t.configMaps("owner"), { propagationPolicy: "Foreground" });
      await t.eventually("the dependent is being deleted", async () => {
        return (await t.get(t.configMaps("owned"))).metadata.deletionTimestamp !== undefined;
      });
      const waiting = await t.get(t.configMaps("owner"));
      assert.deepEqual(waiting.metadata.finalizers, ["foregroundDeletion"]);
      await t.patch(t.configMaps("owned"), MERGE, { metadata: { finalizers: null } });
      await gone(t, t.configMaps("owned"));
      await gone(t, t.configMaps("owner"));
    },
  },
  {
    name: "a Pod on a node ends gracefully, one on none at once",
    async run(t) {
      await t.create(t.pods(), { metadata: { name: "on" }, spec: { nodeName: "n", ...SPEC } });
      await t.create(t.pods(), { metadata: { name: "off" }, spec: SPEC });
      await t.delete(t.pods("off"));
      assert.equal(await t.exists(t.pods("off")), false);
      const ending = await t.delete(t.pods("on"));
      assert.equal(ending.kind, "Pod");
      assert.equal(ending.metadata.deletionGracePeriodSeconds, 30);
      assert.ok(ending.metadata.deletionTimestamp > ending.metadata.creationTimestamp);
      assert.equal(await t.exists(t.pods("on")), true);
      // The kubelet's last word.
      await t.delete(t.pods("on"), { gracePeriodSeconds: 0 });
      assert.equal(await t.exists(t.pods("on")), false);
    },
  },
  {
    name: "options of a deletion are checked",
    async run(t) {
      await make(t, {});
      await refused(t.delete(t.configMaps("a"), { propagationPolicy: "Sideways" }), {
        code: 422,
        reason: "Invalid",
        message: /propagationPolicy: Unsupported value: "Sideways"/,
      });
      await refused(
        t.delete(t.configMaps("a"), { propagationPolicy: "Orphan", orphanDependents: true }),
        {
          code: 422,
          reason: "Invalid",
          message: /orphanDependents and deletionPropagation cannot be both set/,
        },
      );
      assert.equal(await t.exists(t.configMaps("a")), true);
    },
  },
  {
    name: "a collection is deleted by selector",
    async run(t) {
      await make(t, { name: "a", labels: { x: "1" } });
      await make(t, { name: "b", labels: { x: "1" } });
      await make(t, { name: "c", labels: { x: "2" } });
      await t.call("DELETE", t.configMaps(), { query: { labelSelector: "x=1" } });
      assert.equal(await t.exists(t.configMaps("a")), false);
      assert.equal(await t.exists(t.configMaps("b")), false);
      assert.equal(await t.exists(t.configMaps("c")), true);
    },
  },
  {
    name: "a terminating namespace takes nothing new and empties itself",
    async run(t) {
      const name = `${t.namespace}-ending`;
      const path = `/api/v1/namespaces/${name}`;
      await t.create("/api/v1/namespaces", { metadata: { name } });
      await t.create(`${path}/configmaps`, { metadata: { name: "a", finalizers: [FINALIZER] } });
      await t.create(`${path}/configmaps`, { metadata: { name: "b" } });
      const answer = await t.delete(path);
      assert.equal(answer.kind, "Namespace");
      assert.equal((await t.get(path)).status.phase, "Terminating");
      await refused(t.create(`${path}/configmaps`, { metadata: { name: "c" } }), {
        code: 403,
        reason: "Forbidden",
        message: `configmaps "c" is forbidden: unable to create new content in namespace ${name} ` +
          "because it is being terminated",
        details: { name: "c", kind: "configmaps" },
        causes: [{
          reason: "NamespaceTerminating",
          message: `namespace ${name} is being terminated`,
          field: "metadata.namespace",
        }],
      });
      await gone(t, `${path}/configmaps/b`);
      await t.eventually("the held one is being deleted", async () => {
        return (await t.get(`${path}/configmaps/a`)).metadata.deletionTimestamp !== undefined;
      });
      // Changing what is there stays possible.
      await t.patch(`${path}/configmaps/a`, MERGE, { metadata: { finalizers: null } });
      await gone(t, path);
    },
  },
  {
    name: "namespaces are Active, named by a label, and the default one cannot go",
    async run(t) {
      const made = await t.get(`/api/v1/namespaces/${t.namespace}`);
      assert.equal(made.status.phase, "Active");
      assert.equal(made.metadata.labels["kubernetes.io/metadata.name"], t.namespace);
      assert.deepEqual(made.spec.finalizers, ["kubernetes"]);
      await refused(t.delete("/api/v1/namespaces/default"), {
        code: 403,
        reason: "Forbidden",
        message: 'namespaces "default" is forbidden: this namespace may not be deleted',
      });
    },
  },
];
