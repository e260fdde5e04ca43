// Tables in the form `application/vnd.dataresource+json` (Frictionless "Tabular Data Resource").

import { count } from "./words.js";

export interface Column {
  name: string;
  type: string;
  /** Labels the rows; not counted among the columns. */
  index: boolean;
  /** Makes a text of each of its values that is there; `own` is the text that the sender has made of it. */
  text: (value: unknown, own?: string) => string;
  /** Takes further values of the column into account: its numbers get as many decimals as all of them need. */
  learn: (values: unknown[]) => void;
}

export interface Table {
  columns: Column[];
  /** The rows that were sent, each with its place among them. */
  rows: Row[];
  /** How many rows and columns there are, of which not all need have been sent. */
  total: { rows: number; columns: number };
  /** What the interpreter calls it, if more of it can be asked for. */
  id: string | null;
}

/** A row, its place among those that were asked for, and the sender's own texts of its numbers. */
export interface Row { at: number; values: Record<string, unknown>; texts?: Record<string, string> }

/** What the sender says of a table besides the table. */
interface Told { total_rows?: unknown; total_columns?: unknown; precision?: unknown; text?: Record<string, unknown>; table?: unknown }

/** Reads the resource, or answers nothing if it is not one. */
export function readTable(value: unknown, metadata: Record<string, unknown> = {}): Table | null {
  const resource = value as Told & { schema?: { fields?: { name?: unknown; type?: string }[]; primaryKey?: string | string[] }; data?: unknown };
  const fields = resource?.schema?.fields;
  if (!Array.isArray(fields) || !Array.isArray(resource.data)) return null;
  const told = (metadata ?? {}) as Told;
  const keys = new Set([resource.schema!.primaryKey ?? []].flat());
  const names = fields.map((field) => String(field.name ?? ""));
  const rows = readRows(names, resource.data, 0, told.text);
  const decimals = typeof told.precision === "number" ? told.precision : null;
  const columns = fields.map((field, place): Column => {
    const name = names[place]!;
    const form = new NumberForm(decimals);
    form.learn(rows.map((row) => row.values[name]));
    return {
      name,
      type: field.type ?? "any",
      index: keys.has(name),
      // The user's own form comes with the numbers, which are there to sort by.
      text: (value, own) => own ?? form.text(value),
      learn: (values) => form.learn(values),
    };
  });
  const number = (...candidates: unknown[]) => candidates.find((one) => typeof one === "number") as number;
  return {
    columns,
    rows,
    total: {
      rows: number(told.total_rows, resource.total_rows, rows.length),
      columns: number(told.total_columns, resource.total_columns, columns.filter((column) => !column.index).length),
    },
    id: typeof told.table === "string" ? told.table : null,
  };
}

/** Rows as they were sent, the first of them at the place `from`. `text`: the sender's texts of numbers, by columns. */
export function readRows(names: string[], data: unknown[], from: number, text?: Record<string, unknown>): Row[] {
  const texts = Object.entries(text ?? {}).filter((entry): entry is [string, unknown[]] => Array.isArray(entry[1]));
  return data.map((row, place): Row => {
    const values = Array.isArray(row) ? Object.fromEntries(names.map((name, column) => [name, row[column]])) : row as Record<string, unknown>;
    const own = texts.map(([name, all]) => [name, all[place]]).filter(([, one]) => typeof one === "string");
    return { at: from + place, values, ...(own.length > 0 && { texts: Object.fromEntries(own) as Record<string, string> }) };
  });
}

/** "100,000 rows × 12 columns". */
export function sizeOf({ total }: Table): string {
  return `${count(total.rows, "row")} × ${count(total.columns, "column")}`;
}

/** What of it was sent, where that is not all: "the first 754 of 100,000 rows". */
export function partOf(table: Table): string {
  const { rows, total } = table;
  const columns = table.columns.filter((column) => !column.index).length;
  const parts = [
    rows.length < total.rows && `the first ${rows.length.toLocaleString("en")} of ${count(total.rows, "row")}`,
    columns < total.columns && `the first ${columns.toLocaleString("en")} of ${count(total.columns, "column")}`,
  ];
  return parts.filter(Boolean).join(" and ");
}

export type Direction = "ascending" | "descending";

/** Rows that have a text in one of their values, in any case. */
export function filtered(table: Table, rows: Row[], text: string): Row[] {
  const wanted = text.toLowerCase();
  return rows.filter((row) => table.columns.some((column) => cellText(row.values[column.name]).toLowerCase().includes(wanted)));
}

/** A sorted copy. Numbers as numbers, missing values last in both directions. */
export function sorted(table: Table, column: string, direction: Direction): Row[] {
  const sign = direction === "ascending" ? 1 : -1;
  const collator = new Intl.Collator(undefined, { numeric: true });
  return [...table.rows].sort((a, b) => {
    const [x, y] = [a.values[column], b.values[column]];
    if (missing(x) || missing(y)) return Number(missing(x)) - Number(missing(y));
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * collator.compare(String(x), String(y));
  });
}

export function missing(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "number" && Number.isNaN(value));
}

export function isNumeric(column: Column): boolean {
  return column.type === "integer" || column.type === "number";
}

// Written numbers have few decimals and keep them all. Computed ones have as many as fit into a
// number; of a column with such ones six are shown, as pandas does.
const WRITTEN_DECIMALS = 8;
const COMPUTED_DECIMALS = 6;
const SMALLEST = 1e-4; // smaller ones would have more zeros than digits
const LARGEST = 1e21; // from here on JavaScript itself writes exponents

/** Makes texts of a column's values, its numbers with the same decimals, so that their points stand in line. */
class NumberForm {
  readonly #precision: number | null;
  readonly #most: number;
  #written = 0; // decimals that the numbers have, and
  #rounded = 0; // those that they have when they are rounded to the most that are shown

  constructor(precision: number | null) {
    this.#precision = precision;
    this.#most = Math.min(precision ?? COMPUTED_DECIMALS, 100);
  }

  learn(values: unknown[]): void {
    for (const value of values) {
      if (!plain(value)) continue;
      this.#written = Math.max(this.#written, decimalsOf(value));
      this.#rounded = Math.max(this.#rounded, decimalsOf(Number(value.toFixed(this.#most))));
    }
  }

  text(value: unknown): string {
    const few = this.#written <= WRITTEN_DECIMALS;
    if (plain(value)) return value.toFixed(this.#precision === null && few ? this.#written : this.#rounded);
    if (typeof value === "number") return few || !Number.isFinite(value) ? String(value) : String(Number(value.toPrecision(this.#most + 1)));
    return cellText(value);
  }
}

/** Whether a value is a number that is shown with decimals. */
function plain(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && (value === 0 || (Math.abs(value) >= SMALLEST && Math.abs(value) < LARGEST));
}

/** Digits behind the point of the shortest text that is this number. */
function decimalsOf(value: number): number {
  const [digits, exponent] = String(value).split("e");
  return Math.max(0, (digits!.split(".")[1] ?? "").length - Number(exponent ?? 0));
}

/** A value as it is, in text, with all its digits. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As a GitHub-flavoured Markdown table. */
export function asMarkdown(table: Table): string {
  const row = (cells: string[]) => `| ${cells.map((c) => c.replace(/\|/g, "\\|").replace(/\n/g, " ")).join(" | ")} |`;
  const part = partOf(table);
  return [
    row(table.columns.map((c) => c.name)),
    row(table.columns.map((c) => (isNumeric(c) ? "--:" : "---"))),
    ...table.rows.map((r) => row(table.columns.map((c) => taken(c, r)))),
    ...(part ? ["", `(${part})`] : []),
  ].join("\n");
}

/** As tab-separated text, which spreadsheets take from the clipboard. */
export function asText(table: Table): string {
  const part = partOf(table);
  return [rowsAsText(table, table.rows), ...(part ? [`(${part})`] : [])].join("\n");
}

/** Some rows as tab-separated text, below the names of the columns. */
export function rowsAsText(table: Table, rows: Row[]): string {
  const line = (cells: string[]) => cells.map((c) => c.replace(/[\t\n]/g, " ")).join("\t");
  return [line(table.columns.map((c) => c.name)), ...rows.map((r) => line(table.columns.map((c) => taken(c, r))))].join("\n");
}

/** Some rows as CSV (RFC 4180), below the names of the columns. */
export function asCsv(table: Table, rows: Row[]): string {
  const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const line = (cells: string[]) => `${cells.map(field).join(",")}\r\n`;
  return line(table.columns.map((c) => c.name)) + rows.map((r) => line(table.columns.map((c) => taken(c, r)))).join("");
}

/** What is taken along has every digit of a number, whatever form it is shown in. */
function taken(column: Column, row: Row): string {
  return cellText(row.values[column.name]);
}
