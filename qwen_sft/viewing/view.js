// What keys and pointer do on a page that can be read without this. It reads the page and sends nothing.
"use strict";
(() => {
  const $ = (selector) => [...document.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // -- tokens: the one under the pointer, or the one that arrow keys have come to, is told in a line at the bottom
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  let chosen = null;

  const tokenOf = (target) => (target instanceof Element ? target.closest(".run > span:not(.cut)") : null);
  const idOf = (token) => {
    if (token.title) { // the browser's own tooltip would stand in the way
      token.dataset.id = token.title;
      token.removeAttribute("title");
    }
    return token.dataset.id;
  };
  const tell = (token) => {
    const stretch = token.closest(".st");
    const kind = stretch.querySelector(".kind").lastChild.textContent;
    const place = stretch.querySelector("code.at").textContent;
    const mark = stretch.querySelector(".gutter").textContent;
    const text = JSON.stringify(token.textContent.replace(/⏎\n/g, "\n").replace(/⇥\t/g, "\t"));
    tip.textContent = [`id ${idOf(token)}`, text, kind, place || "no message",
      mark ? (mark === "T" ? "trained" : `trained, weight ${mark.slice(2)}`) : "not trained"].join(" · ");
    tip.hidden = false;
  };
  const choose = (token) => {
    if (chosen) chosen.classList.remove("at");
    chosen = token;
    if (!token) { tip.hidden = true; return; }
    token.classList.add("at");
    tell(token);
  };
  document.addEventListener("pointerover", (event) => {
    const token = tokenOf(event.target);
    if (token) tell(token);
    else if (chosen) tell(chosen);
    else tip.hidden = true;
  });
  document.addEventListener("click", (event) => {
    const token = tokenOf(event.target);
    if (token) choose(token === chosen ? null : token);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(".tokens") && (!chosen || !event.target.contains(chosen)))
      choose(event.target.querySelector(".run > span:not(.cut)"));
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches(".tokens")) choose(null);
  });
  const step = (by) => {
    const all = [...chosen.closest(".tokens").querySelectorAll(".run > span:not(.cut)")];
    const next = all[all.indexOf(chosen) + by];
    if (!next) return;
    choose(next);
    next.scrollIntoView({ block: "nearest" });
  };

  // -- findings and samples
  let at = -1;
  const finding = (by) => {
    const all = $(".finding");
    if (!all.length) return;
    at = at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length;
    all[at].scrollIntoView({ block: "center" });
    all[at].focus({ preventScroll: true });
  };
  const follow = (name) => {
    const link = document.querySelector(`a[rel="${name}"]`);
    if (link) link.click();
  };
  const row = (by) => {
    const all = $(".hits tbody a.to");
    const here = all.indexOf(document.activeElement);
    const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by];
    if (next) next.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const isList = Boolean(document.querySelector(".hits"));
    const does = {
      j: () => (isList ? row(1) : finding(1)),
      k: () => (isList ? row(-1) : finding(-1)),
      n: () => follow("next"),
      p: () => follow("prev"),
      u: () => follow("up"),
      "/": () => { const field = document.querySelector("input[type=search]"); if (field) field.focus(); else return false; },
      ArrowRight: () => (chosen ? step(1) : false),
      ArrowLeft: () => (chosen ? step(-1) : false),
      Escape: () => choose(null),
    }[event.key];
    if (does && does() !== false) event.preventDefault();
  });
})();
