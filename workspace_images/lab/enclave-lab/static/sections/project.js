/** Which project this is, what its data permit allows and until when. Also fills the panel's heading. */

import { bar, facts, h } from "../dom.js";

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

export class Project {
  name = "project";
  title = "Project";
  everySeconds = 15;
  isWantedFolded = true; // the heading stays true when the section is folded

  constructor({ t }, head) {
    this.t = t;
    this.head = head;
    this.badge = null;
    this.node = h("div");
  }

  async update(ask) {
    const [permit, limits] = await Promise.all([ask("project"), ask("limits")]);
    this.showHead(permit);
    const { t } = this;
    this.node.replaceChildren(
      h("p.purpose", {}, permit.purpose),
      facts([
        [t("Dataset"), permit.dataset],
        [t("You"), permit.username],
        [t("Left today"), this.left(permit)],
        [t("Per query"), `${t.count(permit.caps.rows, "1 row", "{n} rows")} · ${t.size(permit.caps.bytes)} · ${t.span(permit.caps.seconds)}`],
        this.life(limits),
      ])
    );
  }

  showHead(permit) {
    const { t } = this;
    const days = Math.floor((Date.parse(`${permit.expires_on}T23:59:59Z`) - Date.now()) / DAY_MS);
    const tone = days < SOON_DAYS ? "wait" : "plain";
    const last = days < 1 ? t("Last day of the data permit") : t.count(days, "1 day left", "{n} days left");
    this.head.replaceChildren(
      h("p.projectTitle", {}, permit.title),
      h("p.projectUntil", {}, t("Data permit until {date}", { date: t.date(permit.expires_on) }),
        days < 400 && h(`span.tag.tone-${tone}`, {}, last))
    );
  }

  left({ caps, left_today: left }) {
    const { t } = this;
    const used = Math.max(1 - left.rows / caps.rows_per_day, 1 - left.bytes / caps.bytes_per_day);
    const rows = `${t.count(left.rows, "1 row", "{n} rows")} · ${t.size(left.bytes)}`;
    return h("div", {}, h("div", {}, rows), bar(1 - used, used > 0.9 ? "wait" : "accent", t("Left today")));
  }

  life(limits) {
    const { t } = this;
    const idle = Math.ceil((Date.parse(limits.idle_ends_at) - Date.now()) / 60_000) * 60;
    const shown = [
      limits.ends_at && h("div", {}, t("runs until {time}", { time: t.moment(limits.ends_at) })),
      idle > 0 && h("div.quiet", {}, t("ends in {span} if nothing happens in it", { span: t.span(idle) })),
    ].filter(Boolean);
    return shown.length > 0 && [t("This workspace"), h("div", {}, ...shown)];
  }
}
