// Languages of code cells: their names for people, and which of a session's interpreters executes a cell.

const TITLES: Record<string, string> = { python: "Python", javascript: "JavaScript", typescript: "TypeScript", bash: "bash" };

/** The language's name for people. */
export function languageTitle(name: string): string {
  return TITLES[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
}

/** What a session says of a language that cells may be written in. */
export interface Offered { readonly name: string }

/** What a cell is written in: its own language, else the session's first; Python while no session has said otherwise. */
export function languageOf(language: string | undefined, offered: readonly Offered[]): string {
  return language ?? offered[0]?.name ?? "python";
}

/** The interpreter that executes cells of a language; `undefined`: the session's first. */
export function interpreterFor(language: string | undefined, offered: readonly Offered[]): string | undefined {
  return language === undefined || language === offered[0]?.name ? undefined : language;
}

/** What a cell's language can be changed to; nothing if there is no choice. A language that the session does not offer stands last. */
export function choices(language: string | undefined, offered: readonly Offered[]): string[] {
  const names = offered.map(({ name }) => name);
  if (language !== undefined && offered.length > 0 && !names.includes(language)) names.push(language);
  return names.length > 1 ? names : [];
}
