/**
 * When this workspace ends, said from ten minutes before; which limit it has reached, for as long as it has; and why it
 * has no shared folder. The limits are the enclave's (hub and host enforce them); here they are only shown. "Keep it
 * going" is a request that the edge sees as somebody's doing, so it counts as activity for the hub.
 */

const WARN_MS = 10 * 60_000;
const ASK_MS = 20_000;
const SHORT_ASK_MS = 3_000;
// JupyterLab cuts a notification off after 140 characters.
const OVER = "This workspace ends at {time}: its hours are over. Save your work; you can open it again afterwards.";
const IDLE = "Nobody has used this workspace for a while. It ends at {time} unless a cell is still running then. What is saved stays.";
const KEPT = "The workspace goes on.";
const LOST = "The workspace could not be told to go on. Run a cell or save the notebook instead.";

/** `{ kind: "hours" | "idle", at }` when the end is near, else null; `limits` as `/run/enclave/limits.json` has them. */
export function findEnd(limits, now) {
  const ends = [
    { kind: "hours", at: Date.parse(limits.ends_at) },
    { kind: "idle", at: Date.parse(limits.idle_ends_at) }, // not a number while it is not counted
  ];
  return ends.find(({ at }) => now < at && at - now <= WARN_MS) || null;
}

/** The sentences about limits that are reached, in one language. */
export function findReached(limits, language) {
  return (limits.reached || []).map((told) => told[language] || told.en).filter((told) => typeof told === "string");
}

/** Milliseconds until the limits are worth asking for again: often while a warning stands, and in time for the next one. */
export function nextAsk(limits, now) {
  return findEnd(limits, now) || findReached(limits, "en").length ? SHORT_ASK_MS : ASK_MS;
}

export class Life {
  /** `notify`: JupyterLab's Notification; its messages stay until somebody closes them or the end is no longer near. */
  constructor({ t, ask }, notify) {
    Object.assign(this, { t, ask, notify, shown: "", id: "", reached: new Map() });
  }

  /** For as long as the page lives, whether or not the panel is on the screen. */
  async start() {
    let wait = ASK_MS;
    try {
      const limits = await this.ask("limits");
      this.show(findEnd(limits, Date.now()));
      this.tell(findReached(limits, this.t.language));
      wait = nextAsk(limits, Date.now());
    } catch (error) {
      if (error.status === undefined) {
        console.error(error);
      } // a server that does not answer is the panel's to say
    }
    setTimeout(() => void this.start(), wait);
  }

  show(end) {
    const what = end ? `${end.kind} ${end.at}` : "";
    if (what === this.shown) {
      return;
    }
    this.shown = what;
    if (this.id) {
      this.notify.dismiss(this.id);
      this.id = "";
    }
    if (end) {
      const text = this.t(end.kind === "hours" ? OVER : IDLE, { time: this.t.time(end.at) });
      const keep = { label: this.t("Keep it going"), displayType: "accent", callback: () => void this.keep() };
      this.id = this.notify.warning(text, { autoClose: false, actions: end.kind === "idle" ? [keep] : [] });
    }
  }

  /** One notification per sentence; it goes when the limit is no longer reached. */
  tell(sentences) {
    for (const [told, id] of this.reached) {
      if (!sentences.includes(told)) {
        this.notify.dismiss(id);
        this.reached.delete(told);
      }
    }
    for (const told of sentences.filter((sentence) => !this.reached.has(sentence))) {
      this.reached.set(told, this.notify.error(told, { autoClose: false }));
    }
  }

  async keep() {
    try {
      await this.ask("keep", {});
      this.notify.success(this.t(KEPT), { autoClose: 4000 });
    } catch {
      this.notify.error(this.t(LOST), { autoClose: false });
    }
  }
}
