/** What lies in the outbox and what the disclosure checks say about it; from here one asks for its release. */

import { h, icon } from "../dom.js";
import { ReleaseForm } from "./release_form.js";

const LISTED = 4;
const TONES = { blocking: "bad", warning: "wait", info: "plain" };
const WORDS = { blocking: "must be justified", warning: "look closely", info: "for information" };

export class Outbox {
  name = "outbox";
  title = "Outbox";
  everySeconds = 2;

  constructor({ t, ask }) {
    this.t = t;
    this.badge = h("span.badge");
    this.chosen = new Set();
    this.files = [];
    this.shown = "";
    this.isAgain = false;
    this.state = h("p.quiet", { role: "status" }, t("Checking…"));
    this.again = h("button.link", { type: "button", onclick: () => this.checkAgain() }, icon("again"), t("Check again"));
    this.list = h("ul.list.files");
    this.form = new ReleaseForm(t, ask, () => this.files.filter((file) => this.chosen.has(file.name)), () => this.sent());
    this.node = h("div", {}, this.state, this.list, this.again, this.form.node);
  }

  async update(ask) {
    const again = this.isAgain ? "&again=1" : "";
    this.isAgain = false;
    const { files, returned, stale } = await ask(`outbox?language=${this.t.language}${again}`);
    const text = JSON.stringify([files || [], returned || []]);
    this.state.hidden = !stale && (files || []).length > 0;
    this.state.textContent = stale ? this.t("Checking…") : this.t(EMPTY);
    if (text !== this.shown && files) {
      this.shown = text;
      this.files = files;
      this.form.showReturned(returned || []);
      this.draw();
    }
  }

  draw() {
    const names = new Set(this.files.map((file) => file.name));
    this.chosen.forEach((name) => names.has(name) || this.chosen.delete(name));
    this.badge.textContent = this.files.length > 0 ? String(this.files.length) : "";
    this.list.replaceChildren(...this.files.map((file, position) => this.row(file, position)));
    this.again.hidden = this.form.node.hidden = this.files.length === 0;
    this.form.update();
  }

  row(file, position) {
    const { t } = this;
    const id = `enclave-file-${position}`;
    const box = h("input", { type: "checkbox", id, checked: this.chosen.has(file.name) });
    box.addEventListener("change", () => {
      this.chosen[box.checked ? "add" : "delete"](file.name);
      this.form.update();
    });
    const [tone, words] = this.verdict(file);
    const findings = file.findings.slice(0, LISTED).map((finding) => this.finding(finding));
    const more = file.findings.length - LISTED;
    return h(
      "li.file",
      {},
      h("div.row", {}, box, h("label.grow.fileName", { for: id }, file.name, " ", h("span.count", {}, t.size(file.bytes))), h(`span.tag.tone-${tone}`, {}, words)),
      findings.length > 0 && h("ul.findings", {}, ...findings, more > 0 && h("li.quiet", {}, t("and {n} more", { n: more })))
    );
  }

  verdict(file) {
    const { t } = this;
    if (!file.was_read) {
      return ["wait", t("not checked")];
    }
    const worst = ["blocking", "warning", "info"].find((severity) => file.findings.some((f) => f.severity === severity));
    return worst ? [TONES[worst], t.count(file.findings.length, "1 remark", "{n} remarks")] : ["good", t("no remark")];
  }

  finding(finding) {
    return h(
      `li.finding.tone-${TONES[finding.severity] || "plain"}`,
      {},
      h("div.findingHead", {}, h("span.findingCheck", {}, finding.check), h("span.findingWord", {}, this.t(WORDS[finding.severity] || ""))),
      h("div", {}, finding.message, finding.place && h("span.findingPlace", {}, ` ${finding.place}`))
    );
  }

  checkAgain() {
    this.isAgain = true;
    this.state.hidden = false;
    this.state.textContent = this.t("Checking…");
    this.refresh();
  }

  sent() {
    this.chosen.clear();
    this.list.querySelectorAll("input").forEach((box) => (box.checked = false));
  }
}

const EMPTY = "The outbox is empty. Save a result into the folder outbox: what the disclosure checks say about it appears here.";
