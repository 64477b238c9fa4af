/**
 * Planted bugs: what the simulation must notice, one at a time. Each is a replacement of text that occurs
 * exactly once in its file, so that a change of the source cannot quietly disarm it.
 */

export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "no uid check on the owner of a recreated Pod",
    file: "src/domain/plan.ts",
    find: "owner.kind === other.kind && owner.name === other.name && owner.uid === other.uid &&",
    replace: "owner.kind === other.kind && owner.name === other.name &&",
  },
  {
    name: "a recreated Pod is taken for the old one",
    file: "src/domain/model.ts",
    find: "return one.uid === other.uid && one.nodeName",
    replace: "return one.nodeName",
  },
  {
    name: "deletion without an ownership check",
    file: "src/domain/ownership.ts",
    find: "if (pod !== undefined && pcmc !== undefined && isOurs(configMap, { pod, pcmc })) {",
    replace: "if (pod !== undefined && pcmc !== undefined) {",
  },
  {
    name: "change without an ownership check",
    file: "src/domain/plan.ts",
    find: "if (!isOurs(observed, pair)) return",
    replace: "if (!isOurs(observed, pair) && observed.uid === '') return",
  },
  {
    name: "a queue that forgets what is added while the key is worked on",
    file: "src/runtime/work_queue.ts",
    find: "if (work.again) this.#push(key, work.again.bulk, work.again.since);",
    replace: "",
  },
  {
    name: "lease expiry by wall clock",
    file: "src/runtime/lease_claim.ts",
    find: "return (this.#missingSince ?? this.#observedAt) + this.#record.durationSeconds * 1000;",
    replace: "const { clock } = this.#options;" +
      "return Date.parse(this.#record.renewTime) + this.#record.durationSeconds * 1000 - clock.now() + " +
      "clock.monotonic();",
  },
  {
    name: "no deadline check before a write",
    file: "src/runtime/leader_election.ts",
    find: "return this.#leading && this.#options.clock.monotonic() < this.#deadline;",
    replace: "return this.#leading;",
  },
  {
    name: "no fence before a write at all",
    file: "src/controllers/manager.ts",
    find: "this.#lead(leading, () => elector.assertLeading());",
    replace: "this.#lead(leading, () => {});",
  },
  {
    name: "a stale cache accepted after an own write",
    file: "src/runtime/store.ts",
    find: 'this.upsert(object, "own-write");',
    replace: "void object;",
  },
  {
    name: "a stale cache accepted after an own deletion",
    file: "src/runtime/store.ts",
    find: "if (deleted === undefined) return;",
    replace: "if (key !== '') return;",
  },
  {
    name: "an older version from a list accepted",
    file: "src/runtime/store.ts",
    find:
      "if (compareResourceVersions(object.resourceVersion, before.resourceVersion) <= 0) return;",
    replace: "",
  },
  {
    name: "orphan sweep at the start skipped",
    file: "src/controllers/term.ts",
    find: "for (const configMap of configMaps.values()) {",
    replace: "for (const configMap of [...configMaps.values()].slice(0, 0)) {",
  },
  {
    name: "no live check that a PCMC is gone",
    file: "src/controllers/pod_reconciler.ts",
    find:
      'if (decision.reason === "pcmc-gone" && !await absence.ofPcmc(namespace, pcmc, signal)) {',
    replace: "if (absence === undefined) {",
  },
  {
    name: "no second look at a conflict",
    file: "src/controllers/pod_reconciler.ts",
    find: "recheckMs: CONFLICT_RECHECK_MS,",
    replace: "",
  },
  {
    name: "leftovers of a Pod are left to the garbage collector alone",
    file: "src/controllers/pod_reconciler.ts",
    find: "if (leftovers.length === 0) {",
    replace: "if (leftovers.length >= 0) {",
  },
  {
    name: "observedGeneration before the work",
    file: "src/domain/status.ts",
    find: "const settled = tally.pending === 0;",
    replace: "const settled = true;",
  },
  {
    name: "a key given up after its fast tries",
    file: "src/runtime/controller.ts",
    find: "queue.addAfter(key, delayMs);",
    replace: "",
  },
  {
    name: "writes without preconditions",
    file: "src/domain/plan.ts",
    find: "operations: [...preconditions, ...operations]",
    replace: "operations: [...preconditions.slice(0, 0), ...operations]",
  },
  {
    name: "a relist that removes nothing",
    file: "src/runtime/store.ts",
    find: "if (listed.has(key) || this.#scopeOf(object.namespace) !== scope) continue;",
    replace: "if (key !== '') continue;",
  },
  {
    name: "an elector that forgets between terms",
    file: "src/controllers/manager.ts",
    find: "const elector = this.#createElector();\n    while (!signal.aborted) {",
    replace: "while (!signal.aborted) {\n const elector = this.#createElector();",
  },
  {
    name: "a watch without an idle watchdog",
    file: "src/runtime/watch_protocol.ts",
    find: "export const WATCH_IDLE_MS = 150_000;",
    replace: "export const WATCH_IDLE_MS = 24 * 3600_000;",
  },
  {
    name: "a term that leaves its timers",
    file: "src/controllers/term.ts",
    find: "this.#podQueue.shutDown();",
    replace: "",
  },
];
