import assert from "node:assert/strict";
import { addressHex, formatAddress } from "./address_hex.ts";

Deno.test("addresses become 16 bytes and come back as they are usually written", () => {
  const cases: [string, string, string?][] = [
    ["10.0.255.1", "00000000000000000000ffff0a00ff01"],
    ["::ffff:10.0.255.1", "00000000000000000000ffff0a00ff01", "10.0.255.1"],
    ["::FFFF:10.77.0.1", "00000000000000000000ffff0a4d0001", "10.77.0.1"],
    ["::1", "00000000000000000000000000000001"],
    ["::", "00000000000000000000000000000000"],
    ["fd00:0:0:1::A", "fd00000000000001000000000000000a", "fd00:0:0:1::a"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["fe80::1%eth0", "fe800000000000000000000000000001", "fe80::1"],
  ];
  for (const [text, hex, canonical = text] of cases) {
    assert.equal(addressHex(text), hex);
    assert.equal(formatAddress(hex), canonical);
  }
});

Deno.test("what is no address has no bytes", () => {
  for (
    const text of [
      "",
      "10.0.0",
      "10.0.0.256",
      "1.2.3.4.5",
      "1::2::3",
      "1:2:3:4:5:6:7",
      ":",
      "g::1",
      "1:2:3:4:5:6:7:8::",
      "::1.2.3",
      "12345::",
    ]
  ) assert.equal(addressHex(text), undefined, text);
});
