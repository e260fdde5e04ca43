// The browser's storage, or memory in its place: in a frame of another site a browser may allow
// none, and the page works without.

export type Kept = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

class Memory implements Kept {
  readonly #kept = new Map<string, string>();

  get length(): number { return this.#kept.size; }

  key(at: number): string | null { return [...this.#kept.keys()][at] ?? null; }

  getItem(key: string): string | null { return this.#kept.get(key) ?? null; }

  setItem(key: string, value: string): void { this.#kept.set(key, value); }

  removeItem(key: string): void { this.#kept.delete(key); }
}

function allowed(storage: () => Storage): Kept {
  try {
    return storage();
  } catch {
    return new Memory();
  }
}

/** Storage that lives as long as the page. */
export function ofPage(): Kept { return new Memory(); }

/** Lives as long as the tab. */
export const ofTab: Kept = allowed(() => sessionStorage);

/** Lives on, for all tabs. */
export const ofBrowser: Kept = allowed(() => localStorage);
