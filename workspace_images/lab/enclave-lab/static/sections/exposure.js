/**
 * How much was shown on the screen today, of what the permit plans for. Hidden where the enclave does not meter it. That
 * what is shown is archived stands at the top of the panel, whatever is folded.
 */

import { bar, h, notice } from "../dom.js";

const METERED_SECONDS = 3;
const UNMETERED_SECONDS = 120;
const TONES = { ok: "accent", warned: "wait", slowed: "wait", stopped: "bad" };
const ADVICE = {
  warned: "More than usual today. Show less at once: aggregate, or use head().",
  slowed: "Outputs are slowed down until tomorrow (UTC).",
  stopped: "Outputs are stopped until tomorrow (UTC). Ask the data steward if you need more.",
};

const READERS =
  "The data permit orders it. Auditors and the data-protection officer can read it, for a reason that goes on record.";

/** For how long; 0: the edge cannot read the permit just now. */
function kept(t, days) {
  return days > 0 ? t.count(days, "It is destroyed after 1 day.", "It is destroyed after {n} days.") : "";
}

export class Exposure {
  name = "exposure";
  title = "Exposure";
  everySeconds = 60;
  isWantedFolded = true;
  isHiddenAtFirst = true;

  constructor({ t }, head) {
    this.t = t;
    this.head = head;
    this.archived = h("div.archived");
    this.badge = null;
    this.shown = "";
    this.node = h("div");
  }

  async update(ask) {
    const found = await ask("exposure").catch(() => null);
    const isMetered = found !== null && found.budget_bytes > 0;
    this.hide(!isMetered);
    this.everySeconds = isMetered ? METERED_SECONDS : UNMETERED_SECONDS;
    const text = JSON.stringify(found);
    if (isMetered && text !== this.shown) {
      this.shown = text;
      this.draw(found);
    }
  }

  draw(found) {
    const { t } = this;
    const bytes = found.shown_bytes / found.budget_bytes;
    const rows = found.budget_rows > 0 ? found.shown_rows / found.budget_rows : 0;
    const words = `${t.size(found.shown_bytes)} ${t("of {n}", { n: t.size(found.budget_bytes) })}`;
    const counted = found.budget_rows > 0 && `${t.count(found.shown_rows, "1 row", "{n} rows")} ${t("of {n}", { n: t.number(found.budget_rows) })}`;
    const advice = ADVICE[found.state];
    const lines = [
      h("p.quiet", {}, t("Shown on the screen today")),
      bar(Math.max(bytes, rows), TONES[found.state] || "accent", t("Shown on the screen today")),
      h("p.meta", {}, counted ? `${words} · ${counted}` : words),
      advice && notice(TONES[found.state], t(advice)),
    ];
    this.node.replaceChildren(...lines.filter(Boolean));
    this.head.after(this.archived);
    const told = [h("strong", {}, t("What you see here is archived.")), " ", t(READERS), " ", kept(t, found.archive_days)];
    this.archived.replaceChildren(...(found.archived ? [notice("wait", ...told)] : []));
  }
}
