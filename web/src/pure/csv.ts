// Reads comma-separated values (RFC 4180) into the form that tables are shown from.

const MOST_ROWS = 10_000;
const MOST_COLUMNS = 200;

interface Field { name: string; type: "integer" | "number" | "string" }

/** A table resource, as `readTable` takes it. */
export interface Resource { schema: { fields: Field[] }; data: unknown[][] }

/**
 * Reads the text of a file. `isWhole`: whether that is all of it; else its last line may be half a line, and is left
 * out. Answers nothing where the text has no columns.
 */
export function readCsv(text: string, isWhole: boolean): Resource | null {
  const body = text.replace(/^\uFEFF/, "");
  const { rows, isOpen } = split(body, separatorOf(body));
  if (!isWhole && (isOpen || !/[\r\n]$/.test(body))) rows.pop();
  const [head, ...all] = rows;
  if (!head || (head.length < 2 && rows.length < 2)) return null;
  const width = Math.min(MOST_COLUMNS, Math.max(head.length, ...all.slice(0, 100).map((row) => row.length)));
  const used = new Map<string, number>();
  const names = Array.from({ length: width }, (_, at) => {
    const name = head[at]?.trim() || `column ${at + 1}`;
    const times = (used.get(name) ?? 0) + 1;
    used.set(name, times);
    return times === 1 ? name : `${name} (${times})`;
  });
  const data = all.slice(0, MOST_ROWS).map((row): unknown[] => names.map((_, at) => row[at] ?? ""));
  const fields = names.map((name, at): Field => {
    const values = data.map((row) => row[at] as string).filter((value) => value !== "");
    const type = values.length === 0 ? "string" : values.every(isInteger) ? "integer" : values.every(isNumber) ? "number" : "string";
    if (type !== "string") for (const row of data) row[at] = row[at] === "" ? null : Number(row[at]);
    return { name, type };
  });
  return { schema: { fields }, data };
}

/** Not what loses something as a number: leading zeros, more digits than are exact. */
const isInteger = (value: string) => /^-?(0|[1-9]\d{0,14})$/.test(value);
const isNumber = (value: string) => isInteger(value)
  || /^-?(0|[1-9]\d*)?(\.\d+)?(e[-+]?\d{1,3})?$/i.test(value) && value.replace(/e.*$|\D/gi, "").length <= 15 && /^-?\.?\d/.test(value) && Number.isFinite(Number(value));

/** What the first line has most of, outside of quotes. */
function separatorOf(text: string): string {
  const line = text.slice(0, 10_000).split(/[\r\n]/, 1)[0]!.replace(/"[^"]*"/g, "");
  const times = (sign: string) => line.split(sign).length;
  return [",", ";", "\t"].reduce((best, sign) => (times(sign) > times(best) ? sign : best));
}

function split(text: string, separator: string): { rows: string[][]; isOpen: boolean } {
  const rows: string[][] = [];
  let row: string[] = [];
  let value = "";
  let quoted = false;
  const endRow = () => {
    row.push(value);
    value = "";
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at]!;
    if (quoted) {
      if (sign !== '"') value += sign;
      else if (text[at + 1] === '"') { value += '"'; at += 1; }
      else quoted = false;
    } else if (sign === '"' && value === "") quoted = true;
    else if (sign === separator) { row.push(value); value = ""; }
    else if (sign === "\n" || sign === "\r") { if (sign === "\r" && text[at + 1] === "\n") at += 1; endRow(); }
    else value += sign;
  }
  if (value !== "" || row.length > 0) endRow();
  return { rows, isOpen: quoted };
}
