// What is known of somebody from what their client says of them. Any Yjs client may say anything.

import { inkOn, paletteColour } from "../pure/palette.js";
import type { PersonState } from "./types.js";

export { inkOn };

const NAME_CHARACTERS = 40;

export function nameOf(state: PersonState): string {
  const name = state.user?.name;
  return (typeof name === "string" && name.trim().slice(0, NAME_CHARACTERS)) || "Somebody";
}

export function colourOf(state: PersonState, client: number): string {
  const { participant, color } = state.user ?? {};
  if (typeof participant === "number") return paletteColour(participant);
  return typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color) ? color : paletteColour(client);
}
