/** The parsed tree, and how its nodes are written back: in error messages, and as a template again. */
import { quote } from "./quote.ts";

/** Positions are UTF-16 units from the start of the text. */
interface At {
  readonly pos: number;
}
export interface TextNode extends At {
  readonly type: "text";
  readonly text: string;
}
export interface ActionNode extends At {
  readonly type: "action";
  readonly pipe: PipeNode;
}
export interface BranchNode extends At {
  readonly type: "if" | "with" | "range";
  readonly pipe: PipeNode;
  readonly list: readonly Statement[];
  readonly elseList: readonly Statement[] | undefined;
}
export interface TemplateNode extends At {
  readonly type: "template";
  readonly name: string;
  readonly pipe: PipeNode | undefined;
}
export interface JumpNode extends At {
  readonly type: "break" | "continue";
}
export type Statement = TextNode | ActionNode | BranchNode | TemplateNode | JumpNode;

export interface PipeNode extends At {
  readonly type: "pipe";
  readonly isAssign: boolean;
  readonly decl: readonly VariableNode[];
  readonly cmds: readonly CommandNode[];
}
export interface CommandNode extends At {
  readonly type: "command";
  readonly args: readonly Operand[];
}
export interface FieldNode extends At {
  readonly type: "field";
  readonly ident: readonly string[];
}
export interface VariableNode extends At {
  readonly type: "variable";
  /** The name with its `$`, then fields. */
  readonly ident: readonly string[];
}
export interface ChainNode extends At {
  readonly type: "chain";
  readonly node: Operand;
  readonly fields: readonly string[];
}
export interface IdentifierNode extends At {
  readonly type: "identifier";
  readonly ident: string;
}
export interface DotNode extends At {
  readonly type: "dot" | "nil";
}
export interface BoolNode extends At {
  readonly type: "bool";
  readonly value: boolean;
}
export interface StringNode extends At {
  readonly type: "string";
  readonly quoted: string;
  readonly text: string;
}
/** A constant is every kind of number that it can be without loss. */
export interface NumberNode extends At {
  readonly type: "number";
  readonly text: string;
  readonly int: bigint | undefined;
  readonly isUint: boolean;
  readonly float: number | undefined;
  readonly complex: { real: number; imag: number } | undefined;
}
export type Operand =
  | FieldNode
  | VariableNode
  | ChainNode
  | IdentifierNode
  | DotNode
  | BoolNode
  | StringNode
  | NumberNode
  | PipeNode;
export type Node = Statement | Operand | CommandNode;

/** One named template: the text itself, or what define and block make. */
export interface Tree {
  readonly name: string;
  readonly root: readonly Statement[];
}

/** As Go's Node.String: what stands in `<…>` of messages, on one line whatever the source looked like. */
export function nodeText(node: Node): string {
  switch (node.type) {
    case "pipe":
      return pipeText(node);
    case "command":
      return node.args.map((arg) => arg.type === "pipe" ? `(${pipeText(arg)})` : nodeText(arg))
        .join(" ");
    case "field":
      return node.ident.map((name) => `.${name}`).join("");
    case "variable":
      return node.ident.join(".");
    case "chain": {
      const head = nodeText(node.node);
      return [node.node.type === "pipe" ? `(${head})` : head, ...node.fields].join(".");
    }
    case "identifier":
      return node.ident;
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(node.value);
    case "string":
      return node.quoted;
    case "number":
      return node.text;
    default:
      return statementsText([node]);
  }
}

function pipeText(pipe: PipeNode): string {
  const names = pipe.decl.map(nodeText).join(", ");
  const head = names === "" ? "" : `${names} ${pipe.isAssign ? "=" : ":="} `;
  return head + pipe.cmds.map(nodeText).join(" | ");
}

function statementsText(nodes: readonly Statement[]): string {
  return new Printer().statements(nodes).text;
}

/** Text that parses to the same trees; `main` first. */
export function printTrees(main: Tree, others: Iterable<Tree>): string {
  const printer = new Printer().statements(main.root);
  for (const tree of others) {
    printer.action(`define ${quote(tree.name)}`).statements(tree.root).action("end");
  }
  return printer.text;
}

class Printer {
  text = "";

  action(body: string): this {
    // A brace before the delimiter would make it another one: a blank, and the marker that trims it.
    this.text += this.text.endsWith("{") ? ` {{- ${body}}}` : `{{${body}}}`;
    return this;
  }

  statements(nodes: readonly Statement[]): this {
    let afterText = false;
    for (const node of nodes) {
      if (node.type === "text" && afterText) this.action("/**/");
      this.#statement(node);
      afterText = node.type === "text";
    }
    return this;
  }

  #statement(node: Statement): void {
    switch (node.type) {
      case "text":
        this.text += node.text;
        return;
      case "action":
        this.action(pipeText(node.pipe));
        return;
      case "template": {
        const argument = node.pipe === undefined ? "" : ` ${pipeText(node.pipe)}`;
        this.action(`template ${quote(node.name)}${argument}`);
        return;
      }
      case "break":
      case "continue":
        this.action(node.type);
        return;
      default:
        this.action(`${node.type} ${pipeText(node.pipe)}`).statements(node.list);
        if (node.elseList !== undefined) this.action("else").statements(node.elseList);
        this.action("end");
    }
  }
}
