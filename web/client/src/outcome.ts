// What a cell produced, with the usual forms of what it showed at hand.

import type { CellOutcome } from "./cell.js";
import { CellgateError } from "./errors.js";
import { outcomeForModel } from "./formodel.js";
import type { Metadata, MimeBundle } from "./protocol.js";

/** One value that a cell showed, in all its forms. */
export class Shown {
  constructor(
    /** MIME type to value, as in Jupyter: binary forms are base64. */
    readonly data: MimeBundle,
    readonly metadata: Metadata,
    /** Whether it is the value of the cell's last expression; else the cell displayed it. */
    readonly isMainResult: boolean,
    readonly displayId: string | undefined,
  ) {}

  /** Its `text/plain`. */
  get text(): string | undefined { return this.#text("text/plain"); }
  get html(): string | undefined { return this.#text("text/html"); }
  get markdown(): string | undefined { return this.#text("text/markdown"); }
  get latex(): string | undefined { return this.#text("text/latex"); }
  get svg(): string | undefined { return this.#text("image/svg+xml"); }
  get javascript(): string | undefined { return this.#text("application/javascript"); }
  /** The picture's bytes, ready to be written to a file. */
  get png(): Uint8Array<ArrayBuffer> | undefined { return this.#bytes("image/png"); }
  get jpeg(): Uint8Array<ArrayBuffer> | undefined { return this.#bytes("image/jpeg"); }
  get pdf(): Uint8Array<ArrayBuffer> | undefined { return this.#bytes("application/pdf"); }
  /** Its `application/json`, decoded. */
  get json(): unknown { return this.data["application/json"]; }

  #text(mime: string): string | undefined {
    const value = this.data[mime];
    if (Array.isArray(value)) return value.join("");
    return typeof value === "string" ? value : undefined;
  }

  #bytes(mime: string): Uint8Array<ArrayBuffer> | undefined {
    const text = this.#text(mime);
    return text === undefined ? undefined : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }
}

export interface Outcome extends CellOutcome {}

/** A cell that has ended: the fields of `CellOutcome`, and what they say in short. */
export class Outcome {
  constructor(fields: CellOutcome) {
    Object.assign(this, fields);
  }

  /** What it displayed and, marked `isMainResult`, the value of its last expression. */
  get results(): Shown[] {
    const shown = this.displays.map((one) => new Shown(one.data, one.metadata, false, one.display_id));
    if (this.result) shown.push(new Shown(this.result, this.resultMetadata ?? {}, true, undefined));
    return shown;
  }

  /** The value of the last expression as text; undefined if it has none. */
  get text(): string | undefined { return this.results.find(({ isMainResult }) => isMainResult)?.text; }

  /** The first picture that it showed, as PNG. */
  get png(): Uint8Array<ArrayBuffer> | undefined { return this.results.find(({ png }) => png)?.png; }

  /** The first thing that it showed as HTML, such as a table. */
  get html(): string | undefined { return this.results.find(({ html }) => html !== undefined)?.html; }

  /**
   * What a language model should read of it: output, values and the traceback, without colours, at most about `limit`
   * characters. Of longer text the beginning and the end are kept, and how much is missing is said.
   */
  forModel(limit = 30_000): string {
    return outcomeForModel(this, limit);
  }

  /** Throws `ExecutionFailed` unless the cell ended `ok`; else answers itself. */
  raiseForError(): this {
    if (this.ok) return this;
    const { error, status, detail } = this;
    const raised = error && (error.value ? `${error.name}: ${error.value}` : error.name);
    const what = status === "error" && raised ? `raised ${raised}` : `ended as "${status}"${detail ? `: ${detail}` : ""}`;
    // Chained exceptions and the like are in the traceback, so that all of it is shown.
    throw new ExecutionFailed([`the cell ${what}`, ...(error?.traceback ?? [])].join("\n"), this);
  }
}

/** A cell did not end `ok`. */
export class ExecutionFailed extends CellgateError {
  override name = "ExecutionFailed";

  constructor(message: string, /** All that the cell produced. */ readonly outcome: Outcome) {
    super(message);
  }
}
