// The example in examples/chat as `npm install` leaves it, with the client that the tests have built.

import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Answers what the tests need of its modules: `{startServer, GatewayKeeper, chooseModel}`. */
export async function installChat() {
  const place = at("dist/chat");
  rmSync(place, { recursive: true, force: true });
  cpSync(at("../examples/chat"), place, { recursive: true, filter: (from) => !from.endsWith("node_modules") });
  mkdirSync(`${place}/node_modules/cellgate`, { recursive: true });
  cpSync(at("client/package.json"), `${place}/node_modules/cellgate/package.json`);
  symlinkSync(at("dist/client"), `${place}/node_modules/cellgate/dist`);
  const { startServer } = await import(`${place}/server.mjs`);
  const { GatewayKeeper } = await import(`${place}/gateway.mjs`);
  const { chooseModel } = await import(`${place}/model.mjs`);
  return { startServer, GatewayKeeper, chooseModel };
}
