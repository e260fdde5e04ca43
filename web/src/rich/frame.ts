// What a cell wants to show by HTML, script or chart runs in a sandboxed frame: an origin of its
// own, no network, no access to the page. It gets its content by a message and tells its height.

import { h } from "../dom.js";
import type { CommReport, FrameReport, Repaint, Show, WidgetStep } from "../frame/message.js";
import { currentTheme, THEME_CHANGED } from "../theme.js";

/** Where the build put what frames need; the bundler fills it in. */
declare const ASSETS: { frame: string; plotly: string; vega: string; widgets: string };

const MAX_HEIGHT = 2000; // CSS pixels; beyond that the frame scrolls
const libraries = new Map<string, Promise<string>>();

function library(path: string): Promise<string> {
  let text = libraries.get(path);
  if (!text) {
    text = fetch(path).then((response) => {
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      return response.text();
    });
    libraries.set(path, text);
    text.catch(() => libraries.delete(path));
  }
  return text;
}

export type Kind = Show["kind"];

/** How a widget's frame and the page talk after the frame has its content. */
export interface Channel {
  /** The content as it is now: a frame that is moved in the page begins anew. `tell` reaches the frame. */
  begin(tell: (steps: WidgetStep[]) => void, element: HTMLElement): unknown;
  /** A message from the frame, which may be anything. */
  take(report: CommReport): void;
}

/** A frame with that content, or with what its channel begins with. */
export function frameFor(kind: Kind, content: unknown, title: string, channel?: Channel): HTMLElement {
  const frame = h("iframe", { title, src: ASSETS.frame, loading: "eager" });
  frame.setAttribute("sandbox", "allow-scripts");
  const host = h("div", { className: "rich frame" }, frame);
  const note = (text: string) => {
    host.querySelector(".note")?.remove();
    host.append(h("p", { className: "note", textContent: text }));
  };
  const fail = (reason: string) => note(`This output failed: ${reason}`);
  let first: Window | null = null;
  frame.addEventListener("load", () => {
    // A frame that is moved in the page begins anew, in another window.
    if (first !== frame.contentWindow) {
      first = frame.contentWindow;
      return;
    }
    // It went to another address: whatever is there now is not what the cell has shown.
    frame.remove();
    note("This output tried to leave its frame, and was taken away.");
  });
  const onMessage = (event: MessageEvent<FrameReport>) => {
    if (event.source !== frame.contentWindow) {
      // A frame that was taken out of the page will never speak again.
      if (!frame.isConnected) {
        removeEventListener("message", onMessage);
        removeEventListener(THEME_CHANGED, repaint);
      }
      return;
    }
    const report = event.data;
    // Whatever runs in the frame may send anything.
    if (typeof report !== "object" || report === null) return;
    if (report.cellgate === "ready") void send();
    else if (report.cellgate === "height") frame.style.height = `${Math.min(MAX_HEIGHT, Math.max(24, Number(report.height) || 0))}px`;
    else if (report.cellgate === "comm") channel?.take(report);
    else if (report.cellgate === "cannot") note(String(report.text).slice(0, 500));
    else if (report.cellgate === "failed") fail(String(report.reason).slice(0, 500));
  };
  const send = async () => {
    try {
      const show: Show = { kind, content, theme: currentTheme() };
      if (kind === "plotly") show.library = await library(ASSETS.plotly);
      if (kind === "vega") show.library = await library(ASSETS.vega);
      if (kind === "widget") show.library = await library(ASSETS.widgets);
      const { contentWindow } = frame;
      if (channel) show.content = channel.begin((steps) => contentWindow?.postMessage({ steps }, "*"), host);
      // The frame has no origin that could be named.
      contentWindow?.postMessage(show, "*");
    } catch (error) {
      fail(String(error));
    }
  };
  const repaint = () => frame.contentWindow?.postMessage({ theme: currentTheme() } satisfies Repaint, "*");
  addEventListener("message", onMessage);
  addEventListener(THEME_CHANGED, repaint);
  return host;
}
