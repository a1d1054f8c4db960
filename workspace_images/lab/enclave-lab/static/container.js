/**
 * The module-federation container that JupyterLab loads, written by hand: no build step, so what runs is what is read here.
 *
 * JupyterLab's bootstrap loads this script, calls `init` with the modules it shares, and later asks `get("./extension")`
 * for a factory of the plugin (ADR 0016). Our own code is plain ES modules beside this file; JupyterLab's classes and
 * tokens must come from the shared scope, because a token is known by its identity.
 */
(() => {
  "use strict";
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const SHARED = {
    application: "@jupyterlab/application",
    apputils: "@jupyterlab/apputils",
    notebook: "@jupyterlab/notebook",
    services: "@jupyterlab/services",
    translation: "@jupyterlab/translation",
    ui: "@jupyterlab/ui-components",
    widgets: "@lumino/widgets",
  };
  let scope = {};

  /** The one version JupyterLab shares of a package. */
  async function shared(name) {
    const versions = Object.values(scope[name] || {});
    if (versions.length === 0) {
      throw new Error(`enclave-lab: expected JupyterLab to share ${name}, found that it does not.`);
    }
    return (await versions[versions.length - 1].get())();
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["enclave-lab"] = {
    init(given) {
      scope = given;
    },
    async get(module) {
      if (module !== "./extension") {
        throw new Error(`enclave-lab: expected "./extension", found ${module}.`);
      }
      const found = await Promise.all(
        Object.entries(SHARED).map(async ([short, name]) => [short, await shared(name)])
      );
      const { makePlugin } = await import(`${here}plugin.js`);
      const plugin = makePlugin(Object.fromEntries(found));
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
