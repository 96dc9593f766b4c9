"""A whole page: document, headers and style sheet. Nothing from elsewhere, no script, in nobody's frame, kept nowhere."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from fhir_server.kit.html import Html, Part, el, join

CSS: Final = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--go:#1d5fd1;--go-ink:#fff;
--bad:#b3261e;--mark:#eef4ff}
@media (prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#171b21;--ink:#e8ebef;--soft:#a3adb8;--line:#343b45;--go:#7fb0ff;
--go-ink:#0b1320;--bad:#ff8a80;--mark:#1a2536}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:34rem;margin:6vh auto;padding:0 1rem 3rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.5rem 1.75rem 1.75rem}
.brand{font-weight:600;letter-spacing:.02em;color:var(--soft);margin:0 0 .75rem .25rem}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 .5rem}
h2{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.5rem 0}
.soft{color:var(--soft);font-size:.9rem}
.bad{color:var(--bad);border-left:3px solid var(--bad);padding-left:.75rem}
label.field{display:block;margin:1rem 0 .25rem;font-weight:600}
input[type=text],input[type=password],input[type=search]{width:100%;padding:.6rem .7rem;font:inherit;color:inherit;
background:var(--bg);border:1px solid var(--line);border-radius:8px}
:focus-visible{outline:3px solid var(--go);outline-offset:2px}
button{font:inherit;font-weight:600;padding:.6rem 1.1rem;border-radius:8px;border:1px solid var(--go);background:var(--go);
color:var(--go-ink);cursor:pointer}
button.plain{background:transparent;color:var(--ink);border-color:var(--line)}
.row{display:flex;gap:.75rem;flex-wrap:wrap;margin-top:1.25rem}
.find{display:flex;gap:.5rem;margin:1rem 0}
.find input{flex:1}
ul.list{list-style:none;margin:1rem 0 0;padding:0;border-top:1px solid var(--line)}
ul.list>li{border-bottom:1px solid var(--line);padding:.7rem 0}
li.choice{display:flex;justify-content:space-between;align-items:center;gap:1rem}
.scope{display:grid;grid-template-columns:1.5rem 1fr;gap:.25rem .5rem}
.scope input{margin-top:.35rem;width:1.05rem;height:1.05rem;accent-color:var(--go)}
.scope label{font-weight:600}
.scope .soft,.scope code{grid-column:2}
code{font:.82rem ui-monospace,SFMono-Regular,Menlo,monospace;color:var(--soft);overflow-wrap:anywhere}
.note{background:var(--mark);border-radius:8px;padding:.6rem .8rem;margin-top:1rem}
"""
STYLE_NAME: Final = sha256(CSS.encode()).hexdigest()[:12]


def page(title: str, *body: Part, style: str) -> str:
    """Return a document; `style` is the address of the style sheet."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="robots", content="noindex"),
        el("title", title),
        el("link", rel="stylesheet", href=style),
    )
    main = el("main", el("p", "Clarity", class_="brand"), el("div", *body, class_="card"))
    return "<!doctype html>" + el("html", head, el("body", main), lang="en")


def headers(form_target: str | None = None) -> dict[str, str]:
    """Return the headers of a page; `form_target` is where its form may lead in the end (the app, after consent)."""
    targets = f"'self' {form_target}" if form_target else "'self'"
    policy = f"default-src 'none'; style-src 'self'; img-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
    }


def hidden(**values: str | None) -> Html:
    """Return the hidden fields of a form."""
    return join(
        *(el("input", type="hidden", name=name, value=value) for name, value in values.items() if value is not None)
    )
