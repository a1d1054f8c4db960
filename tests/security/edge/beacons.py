"""Ways in which what a notebook shows could call out, as markup and as script; ``{at}`` is the stand-in internet.

Each has a name of its own under ``beacon.localhost``, so that a look-up alone gives it away. The same renderer shows
them in all modes, as JupyterLab does: markup through ``innerHTML``, its scripts made anew, ``application/javascript``
through ``eval``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MARKUP: dict[str, str] = {
    "link-dns-prefetch": '<link rel="dns-prefetch" href="{at}/">',
    "link-preconnect": '<link rel="preconnect" href="{at}/">',
    "link-prefetch": '<link rel="prefetch" href="{at}/a.js">',
    "link-stylesheet": '<link rel="stylesheet" href="{at}/a.css">',
    "link-preload": '<link rel="preload" as="image" href="{at}/a.png">',
    "link-modulepreload": '<link rel="modulepreload" href="{at}/a.js">',
    "anchor-ping": '<a class="click" href="#x" ping="{at}/ping">x</a>',
    "img": '<img src="{at}/a.png">',
    "img-srcset": '<img srcset="{at}/a.png 1x">',
    "picture": '<picture><source srcset="{at}/a.png"><img></picture>',
    "style-attribute": '<p style="background:url({at}/a.png)">x</p>',
    "style-import": "<style>@import url({at}/a.css);</style>",
    "style-background": "<style>.s1{{background:url({at}/a.png)}}</style><p class=s1>x</p>",
    "style-font": "<style>@font-face{{font-family:f1;src:url({at}/f.woff)}} .s2{{font-family:f1}}</style><p class=s2>x",
    "video": '<video src="{at}/a.mp4" preload="auto"></video>',
    "video-poster": '<video poster="{at}/a.png"></video>',
    "audio": '<audio src="{at}/a.mp3" preload="auto"></audio>',
    "object": '<object data="{at}/a.html"></object>',
    "embed": '<embed src="{at}/a.html">',
    "iframe": '<iframe src="{at}/a.html"></iframe>',
    "iframe-srcdoc": "<iframe srcdoc='<img src=\"{at}/a.png\">'></iframe>",
    "form": '<iframe name="f"></iframe><form action="{at}/" target="f"><button class="click">x</button></form>',
    "input-image": '<input type="image" src="{at}/a.png">',
    "script-src": '<script src="{at}/a.js"></script>',
    "script-inline": "<script>fetch('{at}/fetch')</script>",
    "event-handler": "<img src=x onerror=\"fetch('{at}/fetch')\">",
    "svg-image": '<svg><image href="{at}/a.png" width="9" height="9"/></svg>',
}
SCRIPTS: dict[str, str] = {
    "js-fetch": "fetch('{at}/')",
    "js-xhr": "const x = new XMLHttpRequest(); x.open('GET', '{at}/'); x.send()",
    "js-beacon": "navigator.sendBeacon('{at}/', 'x')",
    "js-websocket": "new WebSocket('{at}/'.replace('http', 'ws'))",
    "js-eventsource": "new EventSource('{at}/')",
    "js-import": "import('{at}/a.js').catch(() => 0)",
    "js-image": "new Image().src = '{at}/a.png'",
    "js-worker": "new Worker(URL.createObjectURL(new Blob([`fetch('{at}/')`])))",
    "js-window-open": "window.open('{at}/')",
    "js-link": "document.head.insertAdjacentHTML('beforeend', '<link rel=prefetch href={at}/a.js>')",
}
KINDS = [*MARKUP, *SCRIPTS]

RENDERER = """
function show(data) {
  if (data['text/html'] !== undefined) {
    const box = document.createElement('div');
    box.innerHTML = data['text/html'];
    document.body.append(box);
    for (const old of box.querySelectorAll('script')) {
      const made = document.createElement('script');
      for (const a of old.attributes) made.setAttribute(a.name, a.value);
      made.textContent = old.textContent;
      old.replaceWith(made);
    }
    for (const target of box.querySelectorAll('.click, button')) target.click();
  }
  if (data['application/javascript'] !== undefined) {
    try { (0, eval)('(() => {' + data['application/javascript'] + '})()'); } catch (refused) { console.log(refused); }
  }
  window.shown = (window.shown || 0) + 1;
}
"""
FROM_KERNEL = """
const here = location.pathname.replace('/lab', '') + '/api/kernels/0-1/channels';
const channel = new WebSocket(location.origin.replace('http', 'ws') + here);
channel.onopen = () => channel.send('{}');
channel.onmessage = (event) => show(JSON.parse(event.data).content.data);
"""
PAGE = '<!doctype html><meta charset="utf-8"><title>probe</title><body><script src="{script}"></script></body>'


def bundles(mode: str, port: int) -> list[dict[str, str]]:
    """One MIME bundle for each kind; hosts are ``<mode><number>.beacon.localhost``."""
    made: list[dict[str, str]] = []
    for number, kind in enumerate(KINDS):
        at = f"http://{mode}{number}.beacon.localhost:{port}"
        if kind in MARKUP:
            made.append({"text/html": MARKUP[kind].format(at=at), "text/plain": kind})
        else:
            made.append({"application/javascript": SCRIPTS[kind].format(at=at), "text/plain": kind})
    return made


def showing(mode: str, port: int) -> str:
    """A script that shows all bundles as they are."""
    return f"{RENDERER}\nfor (const data of {json.dumps(bundles(mode, port))}) show(data);"


class Outside(ThreadingHTTPServer):
    """The stand-in internet on loopback: notes which host was asked for; serves the control page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.hosts: set[str] = set()
        self.paths: set[str] = set()
        self.control = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        outside: Any = self.server
        host = self.headers.get("Host", "").partition(":")[0]
        outside.hosts.add(host)
        outside.paths.add(f"{host}{self.path}")
        body, kind = b"", "text/plain"
        if self.path == "/control.html":
            body, kind = PAGE.format(script="/control.js").encode(), "text/html"
        elif self.path == "/control.js":
            body, kind = outside.control.encode(), "text/javascript"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        return None
