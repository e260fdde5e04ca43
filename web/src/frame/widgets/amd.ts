// anywidget's module is written for a loader of AMD modules: it calls `define` with a function that makes its classes.

type Factory = (base: unknown) => Record<string, unknown>;
let factory: Factory | null = null;

(globalThis as unknown as { define: unknown }).define = (_: unknown, made: Factory) => { factory = made; };

/** What the module makes of `@jupyter-widgets/base`; for once it has been imported. */
export function defined(base: unknown): Record<string, unknown> {
  delete (globalThis as unknown as { define?: unknown }).define;
  return factory!(base);
}
