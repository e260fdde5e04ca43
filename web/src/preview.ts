// What a file of the session looks like: text, pictures, tables, and what opens as a document. No more of it is loaded
// than is shown.

import { html, nothing } from "lit-html";
import type { DirectoryEntry, Session } from "../client/src/core.js";
import type { Console } from "./console.js";
import { h, toast } from "./dom.js";
import { importFile } from "./openfile.js";
import { readCsv } from "./pure/csv.js";
import { readTable } from "./pure/table.js";
import { bytes, sentence } from "./pure/words.js";
import { image } from "./rich/image.js";
import { tableView } from "./rich/table.js";

const TEXT_BYTES = 256 << 10; // that are shown of a text or a table
const PICTURE_BYTES = 16 << 20; // of the largest picture that is shown
const DOCUMENT_BYTES = 64 << 20; // of the largest file that is opened as a document

const PICTURES: Record<string, string> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif",
  bmp: "image/bmp", ico: "image/x-icon", svg: "image/svg+xml",
};

/** Loads what is shown of a file. Rejects where it cannot be read. */
export async function preview(console: Console, session: Session, entry: DirectoryEntry): Promise<unknown> {
  const { path, name, size } = entry;
  const kind = name.includes(".") ? name.split(".").at(-1)!.toLowerCase() : "";
  const type = PICTURES[kind];
  if (type && size <= PICTURE_BYTES) {
    const blob = await session.files.get(path);
    const value = type === "image/svg+xml" ? await blob.text() : await base64(blob);
    return image(type, value, {}, name);
  }
  if (type) return html`<p class="hint">The picture is larger than ${bytes(PICTURE_BYTES)}. Download it to look at it.</p>`;
  const { content, size: whole } = await session.files.beginning(path, TEXT_BYTES);
  const isWhole = content.length >= whole;
  const text = asText(content, isWhole);
  const opens = kind === "ipynb" || kind === "py" ? openOffer(console, session, entry, kind) : nothing;
  if (kind === "ipynb") return html`${opens}<p class="hint">A notebook of ${bytes(whole)}.</p>`;
  if (text === null) return html`<p class="hint">This is no text, so that it cannot be shown. Download it to open it with a program.</p>`;
  const part = isWhole ? nothing : html`<p class="hint">The first ${bytes(content.length)} of ${bytes(whole)}. Download it to see all.</p>`;
  const table = kind === "csv" || kind === "tsv" ? readCsv(text, isWhole) : null;
  const shown = table && readTable(table);
  if (shown) return html`${part}${tableView(shown, null, name).element}`;
  if (text === "") return html`<p class="empty">The file is empty.</p>`;
  return html`${opens}${part}${textView(text, name)}`;
}

function textView(text: string, name: string): HTMLElement {
  const view = h("pre", { className: "filetext", textContent: text, tabIndex: 0, aria: { label: `Text of ${name}` } });
  view.setAttribute("role", "region");
  return view;
}

function openOffer(console: Console, session: Session, { path, name, size }: DirectoryEntry, kind: string) {
  if (size > DOCUMENT_BYTES) return nothing;
  const open = async () => {
    try {
      await importFile(console, new File([await session.files.get(path)], name));
    } catch (error) {
      toast(`${name} cannot be read: ${sentence((error as Error).message)}`);
    }
  };
  return html`<p class="actions"><button type="button" class="primary" @click=${open}>Open as a document</button></p>
    <p class="hint">${kind === "ipynb" ? "Its cells come as a new document" : "Its parts come as the cells of a new document"}; the one that is open is kept.</p>`;
}

/** The text of a file, or nothing if it is none. Of a part, the last character may be half a character. */
function asText(content: Uint8Array<ArrayBuffer>, isWhole: boolean): string | null {
  if (content.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content, { stream: !isWhole });
  } catch {
    return null;
  }
}

function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve((reader.result as string).replace(/^[^,]*,?/, ""));
    reader.onerror = () => reject(reader.error ?? new Error("the picture cannot be read"));
    reader.readAsDataURL(blob);
  });
}
