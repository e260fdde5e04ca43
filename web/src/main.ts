// The page begins here.

import { addRow, beginnings } from "./cells.js";
import { CellView } from "./cellview.js";
import { Console } from "./console.js";
import { arrive, keepSession, keptSession } from "./credentials.js";
import { redrawDialogs } from "./dialog.js";
import { byId, toast } from "./dom.js";
import { loadExtras } from "./editor.js";
import { drawHeader, headline } from "./header.js";
import { Keys } from "./keys.js";
import type { Command } from "./keys.js";
import { fromFragment, newDocument } from "./pure/document.js";
import type { Document } from "./pure/document.js";
import { sessionOf } from "./recent.js";
import { Store } from "./store.js";
import { tellTabs } from "./tabs.js";
import type { Embed } from "./embed.js";
import { applyTheme, wantTheme } from "./theme.js";

const PING_MS = 15_000;
const REST_MS = 1500; // after which what is not needed at first is loaded, so that it is there without the gateway too

/** What an untouched page begins with, by language: it shows at once that output streams. */
const FIRST: Record<string, string> = {
  python: `import time

for step in range(1, 6):
    print(f"step {step} of 5")
    time.sleep(0.5)`,
  javascript: `for (let step = 1; step <= 5; step += 1) {
  console.log("step", step, "of 5");
  await new Promise((done) => setTimeout(done, 500));
}`,
  bash: `for step in 1 2 3 4 5; do
  echo "step $step of 5"
  sleep 0.5
done`,
};

const more = () => import("./more.js");

async function firstDocument(store: Store, arrival: ReturnType<typeof arrive>): Promise<Document> {
  const language = arrival.language ?? undefined;
  if (arrival.code !== null) {
    try {
      return await store.adopt(newDocument(await fromFragment(arrival.code), "", language));
    } catch (error) {
      toast(`The code in the link cannot be read: ${(error as Error).message}`);
    }
  }
  // What somebody shares is not mixed with what this browser keeps.
  if (arrival.shared || arrival.embed) return store.adopt(newDocument([""], "", language));
  return store.openCurrent(() => newDocument([FIRST[language ?? "python"] ?? ""], "", language), (document) =>
    language === undefined || document.cells.some((cell) => cell.language === language));
}

async function begin(): Promise<void> {
  const arrival = arrive();
  wantTheme(arrival.theme);
  applyTheme();
  document.documentElement.dataset.layout = arrival.layout;
  if (arrival.embed) document.documentElement.dataset.embed = "";
  if (arrival.fit) document.documentElement.dataset.fit = "";
  const store = new Store();
  const opened = await firstDocument(store, arrival);
  if (!arrival.embed && !arrival.shared) tellTabs();
  if (!arrival.embed && keptSession() === null) {
    const key = sessionOf(opened.id);
    if (key) {
      keepSession(key);
      arrival.again = true;
    }
  }
  let embed: Embed | null = null;
  let pending = false;
  const redraw = () => {
    if (pending) return;
    pending = true;
    queueMicrotask(() => {
      pending = false;
      drawHeader(console_, {
        menu: async (button) => (await more()).showMenu(console_, button),
        share: async () => (await more()).showShare(console_),
        people: async () => (await more()).showPeople(console_),
        home: async () => (await more()).showHome(console_),
        rename: async () => (await more()).showRename(console_),
        reset: () => embed?.reset(),
        openWhole: () => embed?.openWhole(),
      });
      embed?.look();
      redrawDialogs();
      document.title = arrival.embed ? "cellgate" : `${console_.title} · cellgate`;
    });
  };
  const console_: Console = new Console(opened, store, arrival, redraw);
  console_.link.template = arrival.template;
  if (arrival.embed) embed = new (await import("./embed.js")).Embed(console_, opened, { headline, makeCell: (source) => new CellView(source, console_) });
  redraw();
  if (arrival.layout === "list" && !arrival.readOnly) {
    byId("after").append(addRow((kind) => {
      const last = console_.cells.all.at(-1);
      if (last) console_.cells.insertNear(last, "below", console_.cells.blank(console_.cells.all.length, kind)).edit();
    }), beginnings({
      examples: async () => (await more()).showExamples(console_),
      file: async () => (await more()).openFile(console_),
      documents: async () => (await more()).showHome(console_),
    }));
  }
  listen(console_);
  console_.connect();
  const tried = loadExtras().catch(() => null);
  setTimeout(() => void Promise.all([more(), tried.then((failed) => (failed === null ? loadExtras() : undefined))]).catch(() => {}), REST_MS); // asked for again when it is needed
  setInterval(() => console_.tick(), 1000);
  setInterval(() => { if (!document.hidden) console_.measure(); }, PING_MS);
  // Not in a frame, where it would take the focus of the page around it, nor where it would bring
  // up a keyboard of glass.
  if (!arrival.embed && matchMedia("(hover: hover)").matches) console_.cells.all[0]?.editor.focus("end");
}

function listen(console: Console): void {
  const keys = new Keys();
  byId("cells").addEventListener("keydown", (event) => {
    // Only when a cell itself has the focus: not its text, its buttons or its outputs.
    if (!(event.target as HTMLElement).classList.contains("cell")) return;
    const command = keys.command(event);
    if (!command) return;
    event.preventDefault();
    obey(console, command);
  });
  addEventListener("keydown", (event) => {
    if (!event.ctrlKey || event.code !== "Backquote" || console.arrival.embed) return;
    event.preventDefault();
    console.toggleTerminal();
  });
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => { if (carriesFiles(event)) { event.preventDefault(); document.documentElement.dataset.drop = ""; } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete document.documentElement.dataset.drop; });
  addEventListener("drop", (event) => {
    delete document.documentElement.dataset.drop;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer!.files];
    const notebook = files.find((file) => file.name.endsWith(".ipynb"));
    if (notebook) void more().then(({ importFile }) => importFile(console, notebook));
    else if (console.overview.canFiles) void console.upload(files);
    else toast("This gateway takes no files.");
  });
}

function obey(console: Console, command: Command): void {
  const { cells } = console;
  const cell = cells.selected;
  if (!cell) return;
  const single = console.arrival.layout === "single";
  const go = (to: typeof cell | null | undefined) => { if (to) cells.show(to); };
  switch (command) {
    case "edit": return cell.edit();
    case "next": return go(cells.step(cell, 1));
    case "previous": return go(cells.step(cell, -1));
    case "first": return go(cells.all[0]);
    case "last": return go(cells.all.at(-1));
    case "run": return console.act(cell, "run");
    case "run-advance": console.act(cell, "run"); return single ? undefined : go(console.canEdit() ? cells.following(cell) : cells.step(cell, 1));
    case "run-insert": console.act(cell, "run"); return single || !console.canEdit() ? undefined : cells.insertNear(cell, "below").editor.focus();
    case "stop": return console.runs.interrupt();
    case "restart": return void console.restart();
    case "help": return void more().then(({ showKeys }) => showKeys());
    case "collapse": return console.act(cell, "collapse");
    case "line-numbers": return console.toggleLineNumbers();
    case "copy": return console.act(cell, "copy");
    case "terminal": return console.toggleTerminal();
    case "find": return void more().then(({ showFind }) => showFind(console));
  }
  if (single || !console.canEdit()) return;
  switch (command) {
    case "above": return go(cells.insertNear(cell, "above"));
    case "below": return go(cells.insertNear(cell, "below"));
    case "remove": return cells.remove(cell);
    case "undo": return cells.undoRemove();
    case "move-up": return cells.move(cell, -1);
    case "move-down": return cells.move(cell, 1);
    case "cut": case "paste": case "join": case "to-markdown": case "to-code": return console.act(cell, command);
  }
}

void begin();
