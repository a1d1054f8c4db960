/** Title, context, what it is a new version of (when something was sent back), and the button that asks for a release. What was missing or refused is said under the button. */

import { h, notice } from "../dom.js";

export class ReleaseForm {
  /** `chosen()` gives the chosen files; `done()` is called when the portal has taken the request. */
  constructor(t, ask, chosen, done) {
    Object.assign(this, { t, ask, chosen, done });
    this.title = h("input.input", { id: "enclave-release-title", maxlength: 200, placeholder: t("What it is, in one line") });
    this.context = h("textarea.input", {
      id: "enclave-release-context",
      rows: 3,
      maxlength: 4000,
      placeholder: t("What the figures count, and over how many people"),
    });
    this.follows = h("select.input", { id: "enclave-release-follows" });
    this.follows.addEventListener("change", () => this.takeTitle());
    this.followsLabel = h("label.label", { for: this.follows.id }, t("New version of"));
    this.showReturned([]);
    this.warning = h("div");
    this.result = h("div", { "aria-live": "polite" });
    this.button = h("button.button.primary", { type: "submit" }, t("Ask for release"));
    this.node = h(
      "form.form",
      { hidden: true },
      this.followsLabel,
      this.follows,
      h("label.label", { for: this.title.id }, t("Title")),
      this.title,
      h("label.label", { for: this.context.id }, t("Context")),
      this.context,
      this.warning,
      this.button,
      this.result
    );
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
  }

  /** Requests that the reviewers sent back; a choice that was made stays, as long as it can be made. */
  showReturned(returned) {
    const chosen = this.follows.value;
    this.returned = returned;
    const options = returned.map((row) => h("option", { value: row.id }, this.t("{title} (version {n})", { title: row.title, n: row.version })));
    this.follows.replaceChildren(h("option", { value: "" }, this.t("nothing: a request of its own")), ...options);
    this.follows.value = returned.some((row) => row.id === chosen) ? chosen : "";
    this.follows.hidden = this.followsLabel.hidden = returned.length === 0;
  }

  takeTitle() {
    const row = this.returned.find((found) => found.id === this.follows.value);
    this.title.value = this.title.value || (row ? row.title : "");
  }

  /** Another choice of files. */
  update() {
    const blocks = this.chosen().some((file) => file.findings.some((finding) => finding.severity === "blocking"));
    const sentence = "A file you chose has a remark that must be justified: a reviewer will have to say in writing why it may leave.";
    this.warning.replaceChildren(...(blocks ? [notice("wait", this.t(sentence))] : []));
  }

  async submit() {
    const files = this.chosen().map((file) => file.name);
    const missing = files.length === 0 ? "Choose at least one file." : this.title.value.trim() ? "" : "Give it a title.";
    if (missing) {
      this.result.replaceChildren(notice("wait", this.t(missing)));
      return;
    }
    this.button.disabled = true;
    this.button.textContent = this.t("Asking…");
    try {
      const words = { title: this.title.value, context: this.context.value, follows: this.follows.value };
      const request = await this.ask("release", { files, ...words });
      this.showTaken(request);
    } catch (error) {
      this.result.replaceChildren(notice("bad", error.message));
    }
    this.button.disabled = false;
    this.button.textContent = this.t("Ask for release");
  }

  /** The portal's address is text: a workspace's page opens no other window (the edge's content policy). */
  showTaken(request) {
    const words = this.t("Asked for. Two reviewers now look at exactly these files; you will find them in the portal:");
    this.result.replaceChildren(notice("good", words, h("span.address", {}, request.url)));
    this.title.value = this.context.value = "";
    this.showReturned(this.returned.filter((row) => row.id !== this.follows.value));
    this.done();
    this.update();
    this.result.firstChild.scrollIntoView({ block: "nearest" });
  }
}
