// What Jupyter calls a widget manager: makes models and views of the classes that this page has, and carries
// their messages to the page and back.

import * as base from "@jupyter-widgets/base";
import type { DOMWidgetView, ICallbacks, WidgetModel, WidgetView } from "@jupyter-widgets/base";
import * as controls from "@jupyter-widgets/controls";
import DOMPurify from "dompurify";
import { defined } from "./amd.js";
import "anywidget";
import type { WidgetStep } from "../message.js";
import { typeset } from "./formula.js";
import { CapturedView } from "./captured.js";
import { OutputModel } from "@jupyter-widgets/output";

/** What the frame around does for widgets. */
export interface Tools {
  /** Sends a message of a model's comm to the page; `token` names it until the page says that it was handled. */
  send(id: string, token: string, data: unknown, buffers: ArrayBuffer[]): void;
  /** Something could not be shown. */
  cannot(text: string): void;
  failed(reason: string): void;
  html(host: HTMLElement, text: string): void;
  script(host: HTMLElement, text: string): void;
}

type Classes = Record<string, unknown>;

const MODULES: Record<string, Classes> = {
  "@jupyter-widgets/base": base as unknown as Classes,
  "@jupyter-widgets/controls": controls as unknown as Classes,
  "@jupyter-widgets/output": { OutputModel, OutputView: CapturedView },
  anywidget: defined(base),
};
/** What a description may hold. */
const INLINE = { ALLOWED_TAGS: ["a", "abbr", "b", "code", "em", "i", "img", "li", "ol", "span", "strong", "ul"], ALLOWED_ATTR: ["class", "style", "title", "href", "src"] };
const MISSING_MS = 2000; // that a model may be awaited which another one names

type Handler = (message: unknown) => void;

/** The way of one model's messages, in the form that Jupyter's models know. */
class Comm {
  readonly target_name = "jupyter.widget";
  message: Handler = () => {};
  closed: Handler = () => {};
  constructor(readonly comm_id: string, readonly manager: Manager) {}
  open(): string { return ""; }
  send(data: unknown, callbacks?: ICallbacks, _metadata?: unknown, buffers: (ArrayBuffer | ArrayBufferView)[] = []): string {
    return this.manager.send(this.comm_id, data, callbacks, buffers);
  }
  close(): string { return ""; }
  on_msg(callback: Handler): void { this.message = callback; }
  on_close(callback: Handler): void { this.closed = callback; }
}

export class Manager {
  readonly #tools: Tools;
  readonly #comms = new Map<string, Comm>();
  readonly #models = new Map<string, Promise<WidgetModel>>();
  readonly #awaited = new Map<string, ((model: Promise<WidgetModel>) => void)[]>();
  /** What is called when a message was handled, by its token. */
  readonly #sent = new Map<string, ICallbacks | undefined>();
  readonly #missing = new Set<string>();
  #lastToken = 0;
  /** Where descriptions find who sets their formulas. */
  readonly _rendermime = { latexTypesetter: { typeset } };

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  get tools(): Tools { return this.#tools; }

  async show(root: string): Promise<DOMWidgetView> {
    const view = await this.create_view(await this.get_model(root)) as DOMWidgetView;
    // A model without a view, such as a link.
    if (!view.luminoWidget) throw new Error("this widget has nothing to show");
    return view;
  }

  /** Takes in what the page tells, in its order. */
  take(steps: WidgetStep[]): void {
    for (const step of steps) {
      if ("open" in step) this.#open(step.open, step.state);
      else if ("update" in step) this.#message(step.update, { method: step.echo ? "echo_update" : "update", state: step.state, buffer_paths: [] }, [], step.token);
      else if ("custom" in step) this.#message(step.custom, { method: "custom", content: step.content }, step.buffers.map((buffer) => new DataView(buffer)));
      else if ("close" in step) this.#closed(step.close);
      else if ("handled" in step) this.#handled(step.handled);
      else for (const model of this.#models.values()) void model.then((one) => { one.comm_live = false; }, () => {});
    }
  }

  #open(id: string, state: Record<string, unknown>): void {
    if (this.#models.has(id)) return;
    const comm = new Comm(id, this);
    this.#comms.set(id, comm);
    const [model_name, model_module, model_module_version] = [state._model_name, state._model_module, state._model_module_version].map(String) as [string, string, string];
    this.new_model({ model_name, model_module, model_module_version, model_id: id, comm }, state).catch((error: unknown) => this.#tools.failed(String(error)));
  }

  #message(id: string, data: unknown, buffers: DataView[], token = "elsewhere"): void {
    void this.#models.get(id)?.then(() => this.#comms.get(id)?.message({ content: { comm_id: id, data }, buffers, parent_header: { msg_id: token } }), () => {});
  }

  #closed(id: string): void {
    const comm = this.#comms.get(id);
    const model = this.#models.get(id);
    this.#comms.delete(id);
    this.#models.delete(id);
    void model?.then(() => comm?.closed({}), () => {});
  }

  #handled(token: string): void {
    const callbacks = this.#sent.get(token);
    this.#sent.delete(token);
    callbacks?.iopub?.status?.({ content: { execution_state: "idle" }, parent_header: { msg_id: token } } as never);
  }

  send(id: string, data: unknown, callbacks: ICallbacks | undefined, buffers: (ArrayBuffer | ArrayBufferView)[]): string {
    const token = String(++this.#lastToken);
    this.#sent.set(token, callbacks);
    const bytes = buffers.map((one) => (one instanceof ArrayBuffer ? one : one.buffer.slice(one.byteOffset, one.byteOffset + one.byteLength) as ArrayBuffer));
    this.#tools.send(id, token, data, bytes);
    return token;
  }

  // --- what models and views ask for, by the names that Jupyter gave -----------------------------

  get_model(id: string): Promise<WidgetModel> {
    const model = this.#models.get(id);
    if (model) return model;
    return new Promise((resolve, reject) => {
      this.#awaited.set(id, [...this.#awaited.get(id) ?? [], resolve]);
      setTimeout(() => reject(new Error(`the widget ${id} is not there`)), MISSING_MS);
    });
  }

  has_model(id: string): boolean { return this.#models.has(id); }

  register_model(id: string, model: Promise<WidgetModel>): void {
    this.#models.set(id, model);
    for (const resolve of this.#awaited.get(id) ?? []) resolve(model);
    this.#awaited.delete(id);
  }

  new_widget(): Promise<never> {
    return Promise.reject(new Error("widgets are made by Python alone"));
  }

  new_model(options: base.IModelOptions, state: Record<string, unknown> = {}): Promise<WidgetModel> {
    const make = async () => {
      // Whoever asks for this model meanwhile finds it registered.
      await Promise.resolve();
      const Class = this.#classOf(options.model_name, options.model_module) ?? base.DOMWidgetModel;
      const attributes = await Class._deserialize_state(state as never, this as never);
      const model = new Class(attributes as never, { widget_manager: this as never, model_id: options.model_id!, comm: options.comm });
      model.name = options.model_name;
      model.module = options.model_module;
      return model;
    };
    const made = make();
    this.register_model(options.model_id!, made);
    return made;
  }

  create_view(model: WidgetModel, options: object = {}): Promise<WidgetView> {
    const id = base.uuid();
    const made = model.state_change = model.state_change.then(async () => {
      const name = String(model.get("_view_name"));
      const Class = (this.#classOf(name, String(model.get("_view_module"))) ?? this.#missingView(model)) as unknown as new (all: object) => WidgetView;
      const view = new Class({ model, options });
      view.listenTo(model, "destroy", view.remove);
      await view.render();
      view.once("remove", () => { if (model.views) delete model.views[id]; });
      return view;
    });
    if (model.views) model.views[id] = made as Promise<WidgetView>;
    return made as Promise<WidgetView>;
  }

  callbacks(): ICallbacks { return {}; }

  resolveUrl(url: string): Promise<string> { return Promise.resolve(url); }

  inline_sanitize(text: string): string { return DOMPurify.sanitize(text, INLINE); }

  #classOf(name: string, module: string): typeof WidgetModel | null {
    const classes = Object.hasOwn(MODULES, module) ? MODULES[module]! : null;
    return (classes?.[name] as typeof WidgetModel | undefined) ?? null;
  }

  /** What stands in the place of a view whose module is not here. */
  #missingView(model: WidgetModel): typeof WidgetView {
    const module = String(model.get("_view_module") ?? model.get("_model_module"));
    const what = `This page has no widget module ${module} (for ${String(model.get("_view_name") ?? model.get("_model_name"))}).`;
    if (!this.#missing.has(module)) this.#tools.cannot(`This page has no widget module ${module}. It has Jupyter's own controls, and shows what is made with anywidget.`);
    this.#missing.add(module);
    return class extends base.DOMWidgetView {
      override render(): void {
        this.el.textContent = what;
        this.el.className = "note";
      }
    } as unknown as typeof WidgetView;
  }
}
