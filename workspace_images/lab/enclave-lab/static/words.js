/** The panel's words in English and French: the English text is the key. Figures, sizes and times as the language has them. */

const FRENCH = {
  Enclave: "Enclave",
  "Open the project's panel": "Ouvrir le panneau du projet",
  Project: "Projet",
  Tables: "Tables",
  Queries: "Requêtes",
  Outbox: "Sorties",
  Exposure: "Exposition",
  "The workspace does not answer. It may be restarting; this panel tries again by itself.":
    "L’espace de travail ne répond pas. Il redémarre peut-être ; ce panneau réessaie de lui-même.",
  "Data permit until {date}": "Permis de données jusqu’au {date}",
  "Last day of the data permit": "Dernier jour du permis de données",
  "{n} days left": "encore {n} jours",
  "1 day left": "encore 1 jour",
  You: "Vous",
  Dataset: "Jeu de données",
  "Left today": "Reste aujourd’hui",
  "Per query": "Par requête",
  "{n} rows": "{n} lignes",
  "1 row": "1 ligne",
  "of {n}": "sur {n}",
  "This workspace": "Cet espace de travail",
  "runs until {time}": "tourne jusqu’au {time}",
  "ends in {span} if nothing happens in it": "s’arrête dans {span} s’il ne s’y passe rien",
  "Keep it going": "Le garder ouvert",
  "This workspace ends at {time}: its hours are over. Save your work; you can open it again afterwards.":
    "Cet espace de travail se ferme à {time} : sa durée est écoulée. Enregistrez votre travail ; vous pourrez le rouvrir ensuite.",
  "Nobody has used this workspace for a while. It ends at {time} unless a cell is still running then. What is saved stays.":
    "Espace de travail inutilisé : il se ferme à {time}, sauf si une cellule tourne encore. Ce qui est enregistré est conservé.",
  "The workspace goes on.": "L’espace de travail reste ouvert.",
  "The workspace could not be told to go on. Run a cell or save the notebook instead.":
    "L’espace de travail n’a pas pu être prolongé. Exécutez une cellule ou enregistrez le carnet.",
  "Find a table or column": "Chercher une table ou une colonne",
  "No table or column is called like this.": "Aucune table ni colonne ne porte ce nom.",
  "Put a query on {name} into the notebook": "Mettre une requête sur {name} dans le carnet",
  "Put {name} into the active cell": "Mettre {name} dans la cellule active",
  "Open a notebook first: the query goes into its active cell.":
    "Ouvrez d’abord un carnet : la requête ira dans sa cellule active.",
  pseudonym: "pseudonyme",
  "date shifted": "date décalée",
  "year only": "année seule",
  "month only": "mois seul",
  "in bands": "par tranches",
  "top-coded": "plafonné",
  shortened: "tronqué",
  "No query yet. Those you run appear here, and nobody else's.":
    "Pas encore de requête. Les vôtres apparaîtront ici, jamais celles des autres.",
  running: "en cours",
  done: "terminée",
  stopped: "arrêtée",
  "limit met": "limite atteinte",
  failed: "échouée",
  ended: "interrompue",
  Stop: "Arrêter",
  "Stop this query": "Arrêter cette requête",
  "stopping…": "arrêt…",
  "Show the whole statement": "Montrer la requête entière",
  "The outbox is empty. Save a result into the folder outbox: what the disclosure checks say about it appears here.":
    "Le dossier outbox est vide. Enregistrez-y un résultat : l’avis des contrôles de divulgation apparaîtra ici.",
  "Checking…": "Contrôle en cours…",
  "Check again": "Contrôler à nouveau",
  "no remark": "aucune remarque",
  "1 remark": "1 remarque",
  "{n} remarks": "{n} remarques",
  "not checked": "non contrôlé",
  "must be justified": "à justifier",
  "look closely": "à examiner",
  "for information": "pour information",
  "and {n} more": "et {n} autres",
  Title: "Titre",
  "What it is, in one line": "Ce que c’est, en une ligne",
  Context: "Contexte",
  "What the figures count, and over how many people": "Ce que comptent les chiffres, et sur combien de personnes",
  "New version of": "Nouvelle version de",
  "nothing: a request of its own": "rien : une demande à part",
  "{title} (version {n})": "{title} (version {n})",
  "Ask for release": "Demander la sortie",
  "Asking…": "Demande en cours…",
  "Choose at least one file.": "Choisissez au moins un fichier.",
  "Give it a title.": "Donnez-lui un titre.",
  "A file you chose has a remark that must be justified: a reviewer will have to say in writing why it may leave.":
    "Un fichier choisi porte une remarque à justifier : un relecteur devra écrire pourquoi il peut sortir.",
  "Asked for. Two reviewers now look at exactly these files; you will find them in the portal:":
    "Demande faite. Deux relecteurs examinent ces fichiers, tels quels ; vous les retrouverez dans le portail :",
  "Shown on the screen today": "Affiché à l’écran aujourd’hui",
  "More than usual today. Show less at once: aggregate, or use head().":
    "Plus que d’habitude aujourd’hui. Affichez moins à la fois : agrégez, ou utilisez head().",
  "Outputs are slowed down until tomorrow (UTC).": "Les affichages sont ralentis jusqu’à demain (UTC).",
  "Outputs are stopped until tomorrow (UTC). Ask the data steward if you need more.":
    "Les affichages sont arrêtés jusqu’à demain (UTC). Demandez au gestionnaire des données s’il vous en faut plus.",
  "What you see here is archived.": "Ce que vous voyez ici est archivé.",
  "The data permit orders it. Auditors and the data-protection officer can read it, for a reason that goes on record.":
    "Le permis de données l’impose. Les auditeurs et le délégué à la protection des données peuvent le lire, pour un motif consigné au journal.",
  "It is destroyed after 1 day.": "L’archive est détruite après 1 jour.",
  "It is destroyed after {n} days.": "L’archive est détruite après {n} jours.",
};
const STATUSES = { running: "running", ok: "done", cancelled: "stopped", cap: "limit met", error: "failed" };
const TREATMENTS = {
  "person-pseudonym": "pseudonym",
  pseudonym: "pseudonym",
  "shift-date": "date shifted",
  year: "year only",
  month: "month only",
  band: "in bands",
  top: "top-coded",
  truncate: "shortened",
};

/** JupyterLab's language when one is chosen, else the browser's; French or English. */
export function chooseLanguage(chosen) {
  const named = chosen && chosen !== "default" && !chosen.startsWith("en") ? [chosen] : navigator.languages;
  return (named[0] || "en").toLowerCase().startsWith("fr") ? "fr" : "en";
}

/** `t("… {n} …", { n: 3 })`, with `t.language`, `t.number`, `t.size`, `t.date`, `t.time`, `t.moment`, `t.span`, `t.status`, `t.treatment`. */
export function speak(language) {
  const isFrench = language === "fr";
  const locale = isFrench ? "fr-FR" : "en-GB";
  const t = (text, values = {}) =>
    ((isFrench && FRENCH[text]) || text).replace(/\{(\w+)\}/g, (gap, name) => (name in values ? values[name] : gap));
  const figure = (value, digits = 0) => new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
  t.language = language;
  t.number = (value) => (value >= 1e7 ? `${figure(value / 1e6, 1)}\u00a0M` : figure(value));
  t.count = (value, one, many) => (value === 1 ? t(one) : t(many, { n: t.number(value) }));
  t.size = (bytes) => {
    const units = isFrench ? ["o", "ko", "Mo", "Go", "To"] : ["B", "kB", "MB", "GB", "TB"];
    const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0);
    return `${figure(bytes / 1000 ** power, power && bytes / 1000 ** power < 100 ? 1 : 0)}\u00a0${units[power]}`;
  };
  t.date = (day) => new Date(`${day}T12:00:00Z`).toLocaleDateString(locale, { dateStyle: "long" }).replaceAll(" ", "\u00a0");
  t.time = (moment) => new Date(moment).toLocaleTimeString(locale, { timeStyle: "short" });
  t.moment = (moment) =>
    new Date(moment).toLocaleString(locale, { weekday: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  t.span = (seconds) => {
    if (seconds < 1) {
      return `${figure(seconds * 1000)}\u00a0ms`;
    }
    if (seconds < 60) {
      return `${figure(seconds, seconds < 10 ? 1 : 0)}\u00a0s`;
    }
    const minutes = Math.floor(seconds / 60);
    const rest = Math.floor(minutes < 60 ? seconds % 60 : minutes % 60);
    const [whole, small] = minutes < 60 ? [`${minutes}\u00a0min`, "s"] : [`${Math.floor(minutes / 60)}\u00a0h`, "min"];
    return rest > 0 ? `${whole}\u00a0${rest}\u00a0${small}` : whole;
  };
  t.status = (status) => t(STATUSES[status] || "ended");
  t.treatment = (treatment) => (TREATMENTS[treatment] ? t(TREATMENTS[treatment]) : "");
  return t;
}
