/** Standard base64 with padding, over bytes; errors are texts, as sprig returns them. */
import { fromBinary, toBinary } from "./utf8.ts";

export function encodeBase64(text: string): string {
  return btoa(toBinary(text));
}

/** The text, or Go's message for what is no base64. Line ends are skipped. */
export function decodeBase64(text: string): string {
  const source = toBinary(text);
  const digits = source.replace(/[\r\n]/g, "");
  const isFine = digits.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(digits);
  if (isFine) return fromBinary(atob(digits));
  return `illegal base64 data at input byte ${findFault(source)}`;
}

/** Where Go's decoder would stop. */
function findFault(source: string): number {
  let at = 0;
  const skip = () => {
    while (source[at] === "\r" || source[at] === "\n") at++;
  };
  for (;;) {
    for (let digit = 0; digit < 4; digit++) {
      skip();
      const char = source[at];
      if (char === undefined) return at - digit;
      at++;
      if (/[A-Za-z0-9+/]/.test(char)) continue;
      if (char !== "=" || digit < 2) return at - 1;
      if (digit === 2) {
        skip();
        if (source[at] === undefined) return source.length;
        if (source[at] !== "=") return at - 1;
        at++;
      }
      skip();
      return at;
    }
  }
}
