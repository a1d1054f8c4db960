/** This person's queries: what runs, with a button that stops it, and what has ended. Rows stay in place between answers. */

import { h } from "../dom.js";

const TONES = { running: "accent", ok: "good", cancelled: "plain", cap: "wait", error: "bad" };

export class Queries {
  name = "queries";
  title = "Queries";
  everySeconds = 2;

  constructor({ t, ask }) {
    this.t = t;
    this.ask = ask;
    this.badge = h("span.badge");
    this.rows = new Map();
    this.list = h("ul.list");
    this.empty = h("p.quiet", { hidden: true }, t("No query yet. Those you run appear here, and nobody else's."));
    this.node = h("div.scroll", { tabindex: "0", role: "group", "aria-label": t("Queries") }, this.empty, this.list);
  }

  async update(ask) {
    const queries = await ask("queries");
    if (queries !== this.answer) {
      this.answer = queries;
      this.answeredAt = performance.now();
    }
    const running = queries.filter((query) => query.status === "running");
    this.badge.textContent = running.length > 0 ? String(running.length) : "";
    this.badge.classList.toggle("enclave-isRunning", running.length > 0);
    this.empty.hidden = queries.length > 0;
    const known = new Set(queries.map((query) => query.id));
    for (const [id, row] of this.rows) {
      if (!known.has(id)) {
        row.node.remove();
        this.rows.delete(id);
      }
    }
    for (const query of [...queries].reverse()) {
      this.show(query);
    }
  }

  /** A new row goes on top: answers are shown oldest first. */
  show(query) {
    let row = this.rows.get(query.id);
    if (!row) {
      row = new Row(query, this.t, () => this.stop(query.id));
      this.rows.set(query.id, row);
      this.list.prepend(row.node);
    }
    const since = query.status === "running" ? performance.now() - this.answeredAt : 0;
    row.update({ ...query, duration_ms: query.duration_ms + since });
  }

  async stop(id) {
    await this.ask("cancel", { id });
    this.refresh();
  }
}

class Row {
  constructor(query, t, stop) {
    this.t = t;
    this.dot = h("span.dot", { "aria-hidden": "true" });
    this.meta = h("span.meta");
    this.button = h("button.button.small", { type: "button", "aria-label": t("Stop this query") }, t("Stop"));
    this.button.addEventListener("click", () => void this.stop(stop));
    const statement = h("button.statement", { type: "button", "aria-expanded": "false", title: t("Show the whole statement") }, query.statement.trim());
    statement.addEventListener("click", () => {
      const isOpen = statement.getAttribute("aria-expanded") === "true";
      statement.setAttribute("aria-expanded", String(!isOpen));
    });
    this.node = h("li.query", {}, this.dot, h("div.grow", {}, statement, this.meta), this.button);
  }

  update(query) {
    const { t } = this;
    this.dot.className = `enclave-dot enclave-tone-${TONES[query.status] || "plain"}${query.status === "running" ? " enclave-isRunning" : ""}`;
    const words = [t.status(query.status), t.time(query.started_at), t.span(query.duration_ms / 1000)];
    if (query.rows > 0 || query.status === "ok") {
      words.push(t.count(query.rows, "1 row", "{n} rows"));
    }
    this.meta.textContent = words.join(" · ");
    this.button.hidden = query.status !== "running";
  }

  async stop(stop) {
    this.button.disabled = true;
    this.button.textContent = this.t("stopping…");
    try {
      await stop();
    } catch (error) {
      this.meta.textContent = error.message;
      this.button.disabled = false;
      this.button.textContent = this.t("Stop");
    }
  }
}
