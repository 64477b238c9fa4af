/** Standard base64 with padding, over bytes; errors are texts, as sprig returns them. */
import { fromBinary, toBinary } from "./utf8.ts";

export function encodeBase64(text: string): string {
  return btoa(toBinary(text));
}

/** The text, or Go's message for what is no base64. Line ends are skipped. */
export function decodeBase64(text: string): string {
  const source = toBinary(text);
  const fault = findFault(source);
  if (fault !== undefined) return `illegal base64 data at input byte ${fault}`;
  return fromBinary(atob(source.replace(/[\r\n]/g, "")));
}

/** Where Go's decoder would stop. */
function findFault(source: string): number | undefined {
  let at = 0;
  const skip = () => {
    while (source[at] === "\r" || source[at] === "\n") at++;
  };
  for (;;) {
    for (let digit = 0; digit < 4; digit++) {
      skip();
      const char = source[at];
      if (char === undefined) return digit === 0 ? undefined : at - digit;
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
      return at < source.length ? at : undefined;
    }
  }
}
