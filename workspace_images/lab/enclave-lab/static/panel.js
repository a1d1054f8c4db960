/**
 * The panel: a heading and collapsible sections. Each section says how often it wants to be asked again; that happens only
 * while it is open and the panel is on the screen.
 */

import { h, icon, notice } from "./dom.js";
import { Exposure } from "./sections/exposure.js";
import { Outbox } from "./sections/outbox.js";
import { Project } from "./sections/project.js";
import { Queries } from "./sections/queries.js";
import { Tables } from "./sections/tables.js";

const AWAY = "The workspace does not answer. It may be restarting; this panel tries again by itself.";
const FOLDED = "enclave-lab:folded";
const TICK_MS = 250;

export class Panel {
  constructor(node, context, isVisible) {
    this.isVisible = isVisible;
    this.context = context;
    const head = h("header.head");
    this.frames = [Project, Tables, Queries, Outbox, Exposure].map((Section) => new Frame(new Section(context, head), context));
    node.append(head, ...this.frames.map((frame) => frame.node));
  }

  /** Ask again what is due, for as long as the page lives. */
  start() {
    const turn = () => {
      if (this.isVisible() && document.visibilityState === "visible") {
        this.frames.forEach((frame) => void frame.turn());
      }
      setTimeout(turn, TICK_MS);
    };
    turn();
  }
}

/** One section's heading, body and rhythm. */
class Frame {
  constructor(section, context) {
    this.section = section;
    this.context = context;
    this.dueAt = 0;
    this.isAsking = false;
    section.hide = (isHidden) => (this.node.hidden = isHidden);
    this.problem = h("div");
    const id = `enclave-section-${section.name}`;
    this.button = h(
      "button.fold",
      { type: "button", "aria-expanded": "true", "aria-controls": id, onclick: () => this.fold(this.isOpen) },
      icon("chevron"),
      h("span.foldTitle", {}, context.t(section.title)),
      section.badge
    );
    this.body = h("div.body", { id, role: "region", "aria-label": context.t(section.title) }, this.problem, section.node);
    this.node = h("section.section", {}, h("h2", {}, this.button), this.body);
    section.refresh = () => {
      this.dueAt = 0;
    };
    this.node.hidden = Boolean(section.isHiddenAtFirst);
    this.fold(foldedSections().includes(section.name));
  }

  get isOpen() {
    return this.button.getAttribute("aria-expanded") === "true";
  }

  fold(isFolded) {
    this.button.setAttribute("aria-expanded", String(!isFolded));
    this.body.hidden = isFolded;
    const others = foldedSections().filter((name) => name !== this.section.name);
    localStorage.setItem(FOLDED, JSON.stringify(isFolded ? [...others, this.section.name] : others));
    this.dueAt = 0;
  }

  async turn() {
    if (this.isAsking || Date.now() < this.dueAt || !(this.isOpen || this.section.isWantedFolded)) {
      return;
    }
    this.isAsking = true;
    this.dueAt = Infinity; // an answer, or somebody who wants one sooner, says when next
    try {
      await this.section.update(this.context.ask);
      this.dueAt = Math.min(this.dueAt, Date.now() + this.section.everySeconds * 1000);
      this.problem.replaceChildren();
    } catch (error) {
      if (error.status === undefined) {
        console.error(error);
      }
      this.showProblem(error);
      this.dueAt = Date.now() + 5000;
    }
    this.isAsking = false;
  }

  /** Said once, not again every few seconds: a screen reader would read it each time. */
  showProblem(error) {
    const sentence = error.message && error.status ? error.message : this.context.t(AWAY);
    if (this.problem.textContent !== sentence) {
      this.problem.replaceChildren(notice("bad", sentence));
    }
  }
}

function foldedSections() {
  try {
    const found = JSON.parse(localStorage.getItem(FOLDED) || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}
