// Puts each newer page that the stream brings in the place of the older one, and says so when none comes.
// It draws nothing itself: the markup is the server's. Only what differs is touched, so that focus, selection
// and opened details stay as they are.
"use strict";
(() => {
  const LATE_MS = 7000, AGAIN_MS = 3000, TICK_MS = 1000;
  const page = document.getElementById("page");
  const banner = document.getElementById("stale");
  const root = document.documentElement;
  let heardAt = Date.now(), stream = null, againAt = 0, full = false;

  function clock(at) {
    return `${new Date(at).toISOString().slice(11, 19)} UTC`;
  }

  function lasted(ms) {
    const s = Math.round(ms / 1000);
    return s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
  }

  function take(attributes, fresh, old) {
    for (const { name } of [...attributes]) {
      if (name === "open") continue; // the reader's, not ours
      if (fresh.hasAttribute(name)) {
        if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
      } else old.removeAttribute(name);
    }
  }

  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
    } else if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else {
      take(old.attributes, fresh, old);
      take(fresh.attributes, fresh, old);
      morphChildren(old, fresh);
    }
  }

  function morphChildren(old, fresh) {
    const wanted = [...fresh.childNodes];
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
    wanted.forEach((node, place) => {
      if (place < old.childNodes.length) morph(old.childNodes[place], node);
      else old.append(node);
    });
  }

  function show(markup) {
    const fresh = new DOMParser().parseFromString(`<div id="page">${markup}</div>`, "text/html");
    morphChildren(page, fresh.getElementById("page"));
    document.title = document.getElementById("figures").dataset.title;
    heardAt = Date.now();
    full = false;
    tell();
  }

  function tell() {
    const late = Date.now() - heardAt > LATE_MS;
    root.classList.toggle("stale", late);
    root.classList.toggle("fresh", !late && stream !== null && stream.readyState === EventSource.OPEN);
    const why = full ? "the gateway has as many viewers as it takes" : "the gateway does not answer";
    // The words change once, not every second: whoever hears this page read out is told once.
    const told = late ? `Stale since ${clock(heardAt)}: ${why}. Below is what was last seen.` : "";
    if (banner.textContent !== told) banner.textContent = told;
    if (late) document.title = `stale ${lasted(Date.now() - heardAt)} · Sealane`;
  }

  async function ask() {
    againAt = Date.now() + AGAIN_MS;
    if (stream) stream.close();
    stream = new EventSource("/events?as=page");
    stream.addEventListener("page", (event) => show(JSON.parse(event.data)));
    stream.addEventListener("error", async () => {
      againAt = Date.now() + AGAIN_MS;
      if (stream.readyState !== EventSource.CLOSED) return;
      full = await fetch("/livez").then((answer) => answer.ok, () => false);
    });
  }

  setInterval(() => {
    const silent = Date.now() - heardAt > LATE_MS || stream === null || stream.readyState === EventSource.CLOSED;
    if (silent && Date.now() > againAt) ask();
    tell();
  }, TICK_MS);
  ask();
})();
