// What the page does not need at first, as one file: it is loaded a moment after the page stands, or when something of
// it is first asked for. More files would be more requests, and would divide the page's own script.

export { showKeys, showPeople, showRename, showShare, showExamples } from "./dialogs.js";
export { showCellMenu } from "./cellmenu.js";
export { showFiles } from "./files.js";
export { showFind } from "./find.js";
export { showHome } from "./home.js";
export { showMenu } from "./menu.js";
export { importFile, openFile } from "./openfile.js";
export { showOutline } from "./outline.js";
export { showProcesses } from "./processes.js";
export { showVariables } from "./variables.js";
