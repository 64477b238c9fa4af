/** Every function that templates can call, by name: Go's and the listed ones of sprig. */
import type { FunctionDef } from "./function.ts";
import { COMPARISONS } from "./functions_compare.ts";
import { CORE_FUNCTIONS } from "./functions_core.ts";
import { LIST_FUNCTIONS } from "./functions_list.ts";
import { MAP_FUNCTIONS } from "./functions_map.ts";
import { MISC_FUNCTIONS } from "./functions_misc.ts";
import { NUMBER_FUNCTIONS } from "./functions_number.ts";
import { TEXT_FUNCTIONS } from "./functions_text.ts";

export const FUNCTIONS: ReadonlyMap<string, FunctionDef> = new Map(
  [
    CORE_FUNCTIONS,
    COMPARISONS,
    TEXT_FUNCTIONS,
    LIST_FUNCTIONS,
    MAP_FUNCTIONS,
    NUMBER_FUNCTIONS,
    MISC_FUNCTIONS,
  ].flatMap((table) => Object.entries(table)),
);
