// `CodeStream`: the value of `code` in the arguments of a tool call, while these arrive. The arguments are JSON text,
// such as {"code": "print(1)\n"}, whose pieces may be cut anywhere: within an escape, or between two surrogates.

const ESCAPES = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

export class CodeStream {
  #depth = 0; // of objects and lists
  #string = ""; // characters of the string that is being read; of a key, or of the code
  #isString = false;
  #isKey = false; // whether the next string of the outermost object is a key
  #key = "";
  #escape; // what has come of an escape: "\\", "\\u", "\\u0", …
  #surrogate = ""; // the first half of a pair
  #code = "";

  /** Takes more of the JSON text; answers what it adds to the code. */
  push(json) {
    this.#code = "";
    for (const unit of json.split("")) {
      if (this.#isString) this.#inString(unit);
      else this.#outside(unit);
    }
    return this.#code;
  }

  get #isCode() { return this.#depth === 1 && !this.#isKey && this.#key === "code"; }

  #outside(unit) {
    if (unit === '"') {
      this.#isString = true;
      this.#string = "";
    } else if (unit === "{" || unit === "[") {
      this.#depth += 1;
      this.#isKey = this.#depth === 1;
    } else if (unit === "}" || unit === "]") this.#depth -= 1;
    else if (unit === ":" && this.#depth === 1) this.#isKey = false;
    else if (unit === "," && this.#depth === 1) this.#isKey = true;
  }

  #inString(unit) {
    if (this.#escape !== undefined) {
      this.#escape += unit;
      if (this.#escape[1] !== "u") this.#take(ESCAPES[unit] ?? unit);
      else if (this.#escape.length === 6) this.#take(String.fromCharCode(Number.parseInt(this.#escape.slice(2), 16)));
      else return;
      this.#escape = undefined;
    } else if (unit === "\\") this.#escape = unit;
    else if (unit !== '"') this.#take(unit);
    else {
      this.#isString = false;
      if (this.#surrogate) this.#code += "\ufffd"; // the second half did not come
      this.#surrogate = "";
      if (this.#depth === 1 && this.#isKey) this.#key = this.#string;
    }
  }

  #take(unit) {
    if (this.#isCode) this.#emit(unit);
    else if (this.#isKey) this.#string += unit;
  }

  /** Adds to the code, a pair of surrogates only as a whole. */
  #emit(unit) {
    const text = this.#surrogate + unit;
    this.#surrogate = "";
    if (/[\ud800-\udbff]$/.test(text)) {
      this.#surrogate = text.slice(-1);
      this.#code += text.slice(0, -1).toWellFormed();
    } else this.#code += text.toWellFormed();
  }
}
