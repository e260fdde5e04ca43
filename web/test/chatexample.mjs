// The example in examples/chat as `npm install` leaves it, with the client that the tests have built.

import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Answers what its modules export, the place, and what removes it. */
export async function installChat() {
  const place = at(`dist/chat-${process.pid}`); // files of tests run at the same time
  const remove = () => rmSync(place, { recursive: true, force: true });
  remove();
  cpSync(at("../examples/chat"), place, { recursive: true, filter: (from) => !from.endsWith("node_modules") });
  mkdirSync(`${place}/node_modules/cellgate`, { recursive: true });
  cpSync(at("client/package.json"), `${place}/node_modules/cellgate/package.json`);
  symlinkSync(at("dist/client"), `${place}/node_modules/cellgate/dist`);
  const modules = await Promise.all(["server.mjs", "gateway.mjs", "model.mjs"].map((name) => import(`${place}/${name}`)));
  const { Gateway } = await import("../dist/client/node.js");
  return { ...Object.assign({}, ...modules), Gateway, place, remove };
}
