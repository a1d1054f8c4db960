/** Tables of the extract with their columns; a click puts a query into the notebook, or a column's name into the cell. */

import { h, icon, notice } from "../dom.js";

const NAMED_COLUMNS = 6;
const PLAIN = /^[a-z_][a-z0-9_]*$/;

export class Tables {
  name = "tables";
  title = "Tables";
  everySeconds = 60;

  constructor({ t, insert }) {
    this.t = t;
    this.insert = insert;
    this.badge = h("span.badge");
    this.open = new Set();
    this.shown = "";
    this.tables = [];
    this.find = h("input.input", {
      type: "search",
      placeholder: t("Find a table or column"),
      "aria-label": t("Find a table or column"),
      oninput: () => this.draw(),
    });
    this.hint = h("div", { "aria-live": "polite" });
    this.list = h("ul.list");
    this.node = h("div", {}, this.find, this.hint, this.list);
  }

  async update(ask) {
    const tables = await ask("tables");
    const text = JSON.stringify(tables);
    if (text !== this.shown) {
      this.shown = text;
      this.tables = [...tables].sort((a, b) => a.name.localeCompare(b.name));
      this.badge.textContent = String(tables.length);
      this.draw();
    }
  }

  draw() {
    const wanted = this.find.value.trim().toLowerCase();
    const has = (name) => name.toLowerCase().includes(wanted);
    const found = this.tables.filter((table) => has(table.name) || table.columns.some((column) => has(column.name)));
    const rows = found.map((table) => this.row(table, wanted !== "" && !has(table.name), has));
    this.list.replaceChildren(...rows);
    this.hint.replaceChildren(
      ...(found.length === 0 && this.tables.length > 0 ? [h("p.quiet", {}, this.t("No table or column is called like this."))] : [])
    );
  }

  row(table, isColumnFound, has) {
    const { t } = this;
    const isOpen = isColumnFound || this.open.has(table.name);
    const id = `enclave-columns-${table.name}`;
    const columns = h("ul.columns", { id, hidden: !isOpen }, ...table.columns.map((column) => this.column(column, isColumnFound && has(column.name))));
    const fold = h(
      "button.fold.tableName",
      { type: "button", "aria-expanded": String(isOpen), "aria-controls": id },
      icon("chevron"),
      h("span.mono.grow", {}, table.name),
      // null where a rule of the permit hides some rows
      table.rows !== null && h("span.count", { title: t.count(table.rows, "1 row", "{n} rows") }, t.number(table.rows))
    );
    fold.addEventListener("click", () => {
      columns.hidden = !columns.hidden;
      fold.setAttribute("aria-expanded", String(!columns.hidden));
      this.open[columns.hidden ? "delete" : "add"](table.name);
    });
    const label = t("Put a query on {name} into the notebook", { name: table.name });
    const put = h("button.iconButton", { type: "button", title: label, "aria-label": label, onclick: () => this.put(table) }, icon("insert"));
    return h("li", {}, h("div.row", {}, fold, put), columns);
  }

  column(column, isFound) {
    const { t } = this;
    const treatment = t.treatment(column.treatment);
    const label = t("Put {name} into the active cell", { name: column.name });
    const word = () => this.say(this.insert.word(quoted(column.name)));
    return h(
      "li",
      {},
      h(
        "button.column",
        { type: "button", title: label, onclick: word },
        h(isFound ? "span.mono.columnName.found" : "span.mono.columnName", {}, column.name),
        h("span.type", {}, column.type.toLowerCase()),
        treatment && h("span.tag.tone-plain", {}, treatment)
      )
    );
  }

  put(table) {
    const few = table.columns.length <= NAMED_COLUMNS;
    const columns = few ? table.columns.map((column) => quoted(column.name)).join(", ") : "*";
    this.say(this.insert.query(`%%sql\nSELECT ${columns}\nFROM ${quoted(table.name)}\nLIMIT 20`));
  }

  say(isDone) {
    const missing = this.t("Open a notebook first: the query goes into its active cell.");
    this.hint.replaceChildren(...(isDone ? [] : [notice("wait", missing)]));
  }
}

/** As SQL writes the name. */
function quoted(name) {
  return PLAIN.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
