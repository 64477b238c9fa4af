import assert from "node:assert/strict";
import fc from "fast-check";
import { FW_LAYOUT, SYS_LAYOUT } from "../../../bpf/layout.ts";
import { EbpfError } from "../ports.ts";
import { CarryRecord } from "./carry.ts";

const totals = fc.dictionary(
  fc.constantFrom("c0", "c3", "e3", "l3.7", "l3.sum", "p12.0"),
  fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }),
  { maxKeys: 4 },
).map((values) => new Map(Object.entries(values)));
const rows = fc.uniqueArray(fc.tuple(fc.nat(3), totals), { selector: ([row]) => row, maxLength: 3 })
  .map((entries) => new Map(entries));
const record = fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), rows), { maxLength: 3 }).map(
  (sources) =>
    sources.reduce(
      (all, [source, found]) => all.merge(CarryRecord.of(source, found)),
      CarryRecord.EMPTY,
    ),
);
const ROWS = [0, 1, 2, 3];
const sums = (one: CarryRecord) =>
  ROWS.map((row) => Object.fromEntries([...one.of(row)].sort(([a], [b]) => a < b ? -1 : 1)));

Deno.test("records that are merged again, in any order, come to the same", () => {
  fc.assert(fc.property(record, record, record, (a, b, c) => {
    const all = sums(a.merge(b).merge(c));
    assert.deepEqual(sums(c.merge(b.merge(a))), all);
    assert.deepEqual(sums(a.merge(b).merge(c).merge(b).merge(a)), all);
  }));
});

Deno.test("a record survives its text, and being folded", () => {
  fc.assert(fc.property(record, (one) => {
    assert.deepEqual(sums(CarryRecord.decode(one.encode())), sums(one));
    assert.deepEqual(sums(one.fold()), sums(one));
    assert.deepEqual(sums(one.fold().fold()), sums(one));
  }));
});

Deno.test("of two readings of one map the later counts, of two maps both", () => {
  const at = (source: number, count: bigint) =>
    CarryRecord.of(source, new Map([[0, new Map([["c0", count]])]]));
  const both = at(1, 5n).merge(at(1, 7n)).merge(at(2, 10n));
  assert.equal(both.of(0).get("c0"), 17n);
  assert.equal(both.withoutSource(2).of(0).get("c0"), 7n);
  assert.equal(both.of(1).size, 0);
  assert.equal(both.isEmpty, false);
  assert.equal(both.withoutRow(0).isEmpty, true);
  assert.equal(CarryRecord.EMPTY.fold().isEmpty, true);
});

Deno.test("what is no record of this format is refused, with what to do", () => {
  for (const text of ['{"format": 2, "counts": {}}', "{", '{"format": 1}']) {
    assert.throws(() => CarryRecord.decode(text), (error) => {
      assert.ok(error instanceof EbpfError);
      assert.equal(error.reason, "LoadFailed");
      assert.match(error.message, /run cleanup$/);
      return true;
    });
  }
  const known = '{"format": 1, "more": 1, "counts": {"7": {"0": {"c1": "12", "z9": "1"}}}}';
  assert.deepEqual([...CarryRecord.decode(known).of(0)], [["c1", 12n], ["z9", 1n]]);
});

/** Offset, and what it is, of the fields that programs of other layouts read. */
const FORM = {
  sys_pod: { wanted: [0, "__u64[8]"], row: [64, "__u32"], flags: [68, "__u32"] },
  sys_control: { wanted: [0, "__u64[8]"], generation: [64, "__u32"], levels: [68, "__u32"] },
  sys_row: { counts: [0, "__u64[512]"] },
  sys_compat: { known: [0, "__u64"], unknown: [8, "__u64"] },
  sys_pid_key: { row: [0, "__u32"], tgid: [4, "__u32"], number: [8, "__u32"] },
  sys_latency_key: { row: [0, "__u32"], number: [4, "__u32"] },
  sys_latency: { buckets: [0, "__u64[32]"], sum_ns: [256, "__u64"] },
  sys_start: { time: [0, "__u64"], row: [8, "__u32"], number: [12, "__u32"] },
  fw_settings: { pod_id: [0, "__u64"], hash_seed: [8, "__u64"], flags: [16, "__u32"] },
  fw_counters: {
    verdicts: [0, "__u64[2][3][2][3]"],
    probes: [288, "__u64"],
    log_lost: [296, "__u64"],
    flows_opened: [304, "__u64"],
    flows_failed: [312, "__u64"],
  },
  fw_flow_key: {
    pod_id: [0, "__u64"],
    remote: [8, "__u32[4]"],
    remote_port: [24, "__u16"],
    local_port: [26, "__u16"],
  },
  fw_flow: { time: [0, "__u64"] },
  fw_seen: { ways: [0, "__u64[4]"] },
};

Deno.test("what programs of other layouts read lies where the form says, or the mark must change", () => {
  const structs: Record<string, { fields: Record<string, { offset: number; type: string }> }> = {
    ...SYS_LAYOUT.structs,
    ...FW_LAYOUT.structs,
  };
  for (const [name, fields] of Object.entries(FORM)) {
    for (const [field, expected] of Object.entries(fields)) {
      const found = structs[name]?.fields[field];
      assert.deepEqual([found?.offset, found?.type], expected, `${name}.${field}`);
    }
  }
  const { sys_flag, sys_program } = SYS_LAYOUT.enums;
  assert.deepEqual(sys_program, { SYS_PROGRAM_ENTER: 0, SYS_PROGRAM_EXIT: 1, SYS_PROGRAMS: 2 });
  const { SYS_FLAG_PIDS, SYS_FLAG_LATENCY, SYS_FLAG_ERRORS } = sys_flag;
  assert.deepEqual([SYS_FLAG_PIDS, SYS_FLAG_LATENCY, SYS_FLAG_ERRORS], [1, 2, 4]);
});
