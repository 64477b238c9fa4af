/** The limits of ConfigMaps, which the generated ones have to keep. */
import assert from "node:assert/strict";
import { type Behaviour, MERGE, refused } from "../world.ts";

const KEY_RULE =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  " +
  "or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

const MIB = 1024 * 1024;

export const configMaps: readonly Behaviour[] = [
  {
    name: "keys of data and binaryData are checked",
    async run(t) {
      const body = {
        metadata: { name: "a" },
        data: { "a/b": "1", "..": "2" },
        binaryData: { "c d": "AA==" },
      };
      await refused(t.create(t.configMaps(), body), {
        code: 422,
        reason: "Invalid",
        causes: [
          {
            reason: "FieldValueInvalid",
            message: `Invalid value: "a/b": ${KEY_RULE}`,
            field: "data[a/b]",
          },
          {
            reason: "FieldValueInvalid",
            message: `Invalid value: "..": must not be '..'`,
            field: "data[..]",
          },
          {
            reason: "FieldValueInvalid",
            message: `Invalid value: "c d": ${KEY_RULE}`,
            field: "binaryData[c d]",
          },
        ],
      });
      const long = "k".repeat(254);
      await refused(t.create(t.configMaps(), { metadata: { name: "a" }, data: { [long]: "" } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: `Invalid value: "${long}": must be no more than 253 characters`,
          field: `data[${long}]`,
        }],
      });
      await t.create(t.configMaps(), {
        metadata: { name: "a" },
        data: { [long.slice(1)]: "", "-._aZ0": "", ".hidden": "" },
      });
    },
  },
  {
    name: "a key may be in data or in binaryData, not in both",
    async run(t) {
      const body = { metadata: { name: "a" }, data: { k: "1" }, binaryData: { k: "AA==" } };
      await refused(t.create(t.configMaps(), body), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: 'Invalid value: "k": duplicate of key present in binaryData',
          field: "data[k]",
        }],
      });
    },
  },
  {
    name: "one MiB of values is accepted, a byte more is not",
    async run(t) {
      const sized = (bytes: number) => ({ k: "x".repeat(bytes) });
      await t.create(t.configMaps(), { metadata: { name: "full" }, data: sized(MIB - 1) });
      await refused(
        t.create(t.configMaps(), { metadata: { name: "over" }, data: sized(MIB + 1) }),
        {
          code: 422,
          reason: "Invalid",
          causes: [{
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 1048576 bytes",
            field: "[]",
          }],
        },
      );
      assert.equal(await t.exists(t.configMaps("over")), false);
    },
  },
  {
    name: "an immutable ConfigMap changes its metadata only, and only by deletion becomes mutable",
    async run(t) {
      await t.create(t.configMaps(), {
        metadata: { name: "a" },
        data: { k: "1" },
        immutable: true,
      });
      const forbidden = (field: string) => ({
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueForbidden",
          message: "Forbidden: field is immutable when `immutable` is set",
          field,
        }],
      });
      await refused(t.patch(t.configMaps("a"), MERGE, { data: { k: "2" } }), forbidden("data"));
      await refused(
        t.patch(t.configMaps("a"), MERGE, { binaryData: { b: "AA==" } }),
        forbidden("binaryData"),
      );
      await refused(t.patch(t.configMaps("a"), MERGE, { immutable: null }), forbidden("immutable"));
      await t.patch(t.configMaps("a"), MERGE, { metadata: { labels: { x: "1" } } });
      await t.delete(t.configMaps("a"));
      await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "2" } });
    },
  },
  {
    name: "values must be strings",
    async run(t) {
      await refused(t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: 1 } }), {
        code: 400,
        reason: "BadRequest",
        message:
          /json: cannot unmarshal number into Go struct field ConfigMap\.data of type string/,
      });
      await refused(t.create(t.configMaps(), { metadata: { name: "a" }, binaryData: { k: "?" } }), {
        code: 400,
        reason: "BadRequest",
        message: /illegal base64 data at input byte 0/,
      });
    },
  },
];
