// Positions in text: the protocol counts Unicode characters, JavaScript counts UTF-16 units.

/** How many Unicode characters come before the UTF-16 index `units`. */
export function unitsToCharacters(text: string, units: number): number {
  let characters = 0;
  for (let at = 0; at < units && at < text.length; at += width(text, at)) characters += 1;
  return characters;
}

/** The UTF-16 index of the Unicode character with number `characters`. */
export function charactersToUnits(text: string, characters: number): number {
  let at = 0;
  for (let n = 0; n < characters && at < text.length; n += 1) at += width(text, at);
  return at;
}

function width(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
