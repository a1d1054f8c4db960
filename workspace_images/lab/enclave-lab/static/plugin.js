/** The plugin: puts the panel into the left side bar, its command into the palette, and knows how to reach a notebook. */

import { Life } from "./life.js";
import { Panel } from "./panel.js";
import { ask } from "./server.js";
import { chooseLanguage, speak } from "./words.js";

const ID = "enclave-lab:panel";
const COMMAND = "enclave:open";
const MINIMUM_WIDTH = "330px";
const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" stroke="#616161" ' +
  'style="fill:none" stroke-width="1.9" stroke-linejoin="round" stroke-linecap="round"><path d="M12 3 4.5 6v5.6c0 4.6 3.1 ' +
  '8 7.5 9.4 4.4-1.400 7.500-4.800 7.500-9.400V6Z"/><path d="M12 8.200v7M8.500 11.700h7"/></g></svg>';

/** `lab`: JupyterLab's shared modules by short name. */
export function makePlugin(lab) {
  return {
    id: ID,
    description: "The project, its tables, queries, outbox and exposure.",
    autoStart: true,
    optional: [
      lab.application.ILayoutRestorer,
      lab.notebook.INotebookTracker,
      lab.translation.ITranslator,
      lab.apputils.ICommandPalette,
    ],
    activate(app, restorer, tracker, translator, palette) {
      const t = speak(chooseLanguage(translator ? translator.languageCode : ""));
      loadStyle();
      const settings = app.serviceManager.serverSettings;
      const context = { t, ask: ask.bind(null, lab.services.ServerConnection, settings), insert: insertInto(lab, tracker) };
      const widget = new lab.widgets.Widget();
      const panel = new Panel(widget.node, context, () => widget.isVisible);
      widget.id = ID;
      widget.addClass("enclave-Panel");
      widget.node.style.minWidth = MINIMUM_WIDTH; // before the style sheet is there: the side bar measures it once
      widget.title.caption = t("Enclave");
      widget.title.icon = new lab.ui.LabIcon({ name: "enclave:shield", svgstr: ICON });
      app.shell.add(widget, "left", { rank: 150, type: "Enclave" });
      if (restorer) {
        restorer.add(widget, ID);
      }
      app.commands.addCommand(COMMAND, {
        label: t("Open the project's panel"),
        execute: () => app.shell.activateById(ID),
      });
      if (palette) {
        palette.addItem({ command: COMMAND, category: t("Enclave") });
      }
      panel.start();
      void new Life(context, lab.apputils.Notification).start();
    },
  };
}

function loadStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("panel.css", import.meta.url).href;
  document.head.append(link);
}

/** `query(text)`: into the active code cell when it is empty, else into a new one; `word(text)`: at the cursor. */
function insertInto(lab, tracker) {
  const current = () => tracker && tracker.currentWidget;
  return {
    query(text) {
      const open = current();
      if (!open) {
        return false;
      }
      const notebook = open.content;
      const isFree = (cell) => cell && cell.model.type === "code" && cell.model.sharedModel.getSource().trim() === "";
      if (!isFree(notebook.activeCell)) {
        lab.notebook.NotebookActions.insertBelow(notebook);
      }
      notebook.activeCell.model.sharedModel.setSource(text);
      notebook.mode = "edit";
      notebook.activeCell.editor.focus();
      return true;
    },
    word(text) {
      const open = current();
      const cell = open && open.content.activeCell;
      if (!cell || !cell.editor) {
        return false;
      }
      cell.editor.replaceSelection(text);
      open.content.mode = "edit";
      cell.editor.focus();
      return true;
    },
  };
}
