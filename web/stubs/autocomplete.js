// In the place of @codemirror/autocomplete for the languages' packages: of these the page uses the parsers alone, as
// what is completed comes from the session. So the first load is without that package.

export const snippetCompletion = () => null;
export const completeFromList = () => null;
export const ifNotIn = () => null;
