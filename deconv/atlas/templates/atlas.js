"use strict";
// Everything here is comfort: without it the pages are plain pages. State lives in the address
// (#sort=strongest&at=17), so that reloading and going back find it again.
(() => {
  const $ = (s, at = document) => at.querySelector(s);
  const $$ = (s, at = document) => [...at.querySelectorAll(s)];
  const { root, kind } = document.body.dataset;
  const slider = $("#snapshot");
  const state = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  // Changes of the address: each is a step to go back from, unless it is `quiet`.
  function put(changes, quiet = false) {
    const now = state();
    for (const [key, value] of Object.entries(changes)) {
      if (value === "" || value === null) now.delete(key);
      else now.set(key, value);
    }
    const hash = "#" + now.toString();
    if (hash === (location.hash || "#")) return;
    if (quiet) location.replace(hash);
    else location.hash = hash;
  }

  // Another page, at the same snapshot.
  function go(link) {
    if (!link) return false;
    location.href = kept(link.getAttribute("href"));
    return true;
  }
  function kept(href) {
    const at = slider && state().get("snapshot"), there = new URL(href, location.href);
    return at && !there.hash && there.pathname.includes("/layers/") ? `${href}#snapshot=${at}` : href;
  }

  // A grid is one stop of Tab; arrows move within it.
  function rove(grid) {
    const links = () => $$("a", grid).filter((a) => a.offsetParent !== null);
    const only = (chosen) => $$("a", grid).forEach((a) => { a.tabIndex = a === chosen ? 0 : -1; });
    grid.reset = () => only(links()[0]);
    grid.reset();
    grid.addEventListener("focusin", (e) => { const a = e.target.closest("a"); if (a) only(a); });
    grid.addEventListener("keydown", (e) => {
      const all = links(), i = all.indexOf(document.activeElement);
      if (i < 0 || e.ctrlKey || e.metaKey || e.altKey) return;
      const top = (a) => a.getBoundingClientRect().top;
      const across = all.filter((a) => Math.abs(top(a) - top(all[0])) < 4).length;
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, ArrowDown: i + across, ArrowUp: i - across,
        Home: 0, End: all.length - 1 }[e.key];
      if (to === undefined) return;
      e.preventDefault();
      e.stopPropagation();
      if (all[to]) all[to].focus();
    });
  }

  // Snapshots

  const last = slider ? Number(slider.max) : 0;
  const chosen = () => {
    const at = state().get("snapshot");
    return at !== null && /^\d+$/.test(at) && Number(at) <= last ? Number(at) : last;
  };
  const step = (by) => {
    if (!slider) return;
    const to = Math.min(last, Math.max(0, chosen() + by));
    put({ snapshot: to === last ? "" : to }, true);
  };
  if (slider) slider.addEventListener("input", () =>
    put({ snapshot: Number(slider.value) === last ? "" : slider.value }, true));

  // Layer pages

  function layer() {
    const grid = $("[data-units]"), data = window.ATLAS && ATLAS.layer;
    if (!grid || !data) return () => {};
    const tiles = $$("li", grid).map((li, n) => ({ li, n, img: $("img", li) }));
    const controls = ["sort", "show", "q", "view"].map((id) => $("#" + id)).filter(Boolean);
    for (const one of controls) {
      one.addEventListener(one.type === "search" ? "input" : "change", () => {
        const usual = one.options ? one.options[0].value : "";
        put({ [one.id]: one.value === usual ? "" : one.value }, one.type === "search");
      });
    }
    $("form.controls").addEventListener("submit", (e) => e.preventDefault());
    grid.addEventListener("click", (e) => {
      const li = e.target.closest("li");
      if (li) put({ at: li.id.slice(1) }, true);
    });
    return () => {
      const now = state(), s = chosen(), at = data.snapshots[s];
      for (const one of controls) one.value = now.get(one.id) || (one.options ? one.options[0].value : "");
      const view = now.get("view") === "patches" ? "patches" : "faces";
      const end = s === last ? "" : `.s${s}`;
      const share = (n) => at.nine[n] ? at.of[n] / at.nine[n] : -1;
      const orders = {
        strongest: (a, b) => at.peak[b.n] - at.peak[a.n],
        sparsest: (a, b) => (at.value[a.n] ? data.active[a.n] : 2) - (at.value[b.n] ? data.active[b.n] : 2),
        purest: (a, b) => share(b.n) - share(a.n) || at.peak[b.n] - at.peak[a.n],
      };
      const order = orders[now.get("sort")] || (() => 0);
      const words = (now.get("q") || "").trim().toLowerCase(), show = now.get("show") || "all";
      let count = 0;
      for (const t of [...tiles].sort((a, b) => order(a, b) || a.n - b.n)) {
        const alive = at.value[t.n] !== "";
        const fits = !words || String(t.n) === words || (at.class[t.n] || "").toLowerCase().includes(words);
        t.li.hidden = !fits || (show === "live" && !alive) || (show === "dead" && alive);
        count += !t.li.hidden;
        grid.append(t.li);
        if (t.img) {
          const src = `${view}-${Math.floor(t.n / data.faces)}${end}.webp`;
          if (t.img.getAttribute("src") !== src && alive) t.img.setAttribute("src", src);
          t.img.alt = `Strongest ${view === "faces" ? "projection" : "patch"} of map ${t.n}, activation ${at.value[t.n]}`;
          t.img.style.visibility = alive ? "" : "hidden";
        }
        $(".value", t.li).textContent = alive ? at.value[t.n] : "dead";
        $(".note", t.li).textContent = at.of[t.n] > 1 ? `${at.of[t.n]}/${at.nine[t.n]} ${at.class[t.n]}` : "";
      }
      $(".count").textContent = `${count} of ${tiles.length}`;
      grid.reset();
    };
  }

  // Unit pages

  function unit() {
    const snapshots = window.ATLAS && ATLAS.unit;
    for (const one of $$("[data-rank]")) {
      const hot = (on) => $$(`[data-rank="${one.dataset.rank}"]`).forEach((o) => o.classList.toggle("hot", on));
      for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) {
        one.addEventListener(event, () => hot(on));
      }
    }
    if (!snapshots) return () => {};
    return () => {
      const at = snapshots[chosen()];
      for (const li of $$(".nine li")) {
        const p = at.peaks[li.dataset.rank], img = $("img", li), box = $(".box", li), link = $("a", li);
        img.style.visibility = p ? "" : "hidden";
        if (box) box.hidden = !p;
        if (!p) continue;
        if (img.getAttribute("src") !== at.sprite) img.setAttribute("src", at.sprite);
        img.alt = img.alt.replace(/^(\w+ \d+).*/s, `$1, activation ${p.shown}, ${p.class || p.name}`);
        if (box) {
          const [h, w] = JSON.parse($(".blocks").dataset.size), [top, left, bottom, right] = p.box;
          box.style.cssText = `top:${100 * top / h}%;left:${100 * left / w}%;height:${100 * (bottom - top) / h}%;width:${100 * (right - left) / w}%`;
        }
        if (link) page(link, p);
      }
      for (const tr of $$("tr[data-rank]")) {
        const p = at.peaks[tr.dataset.rank];
        const cells = p ? { ...p, at: `${p.y}, ${p.x}` } : {};
        for (const td of $$("[data-f]", tr)) {
          const inner = $("a", td) || td;
          inner.textContent = cells[td.dataset.f] ?? "";
          if (inner.tagName === "A" && p && td.dataset.f === "name") page(inner, p);
          if (inner.tagName === "A" && p && td.dataset.f === "class") inner.href = `${root}classes/${p.label}.html`;
        }
      }
    };
    function page(link, p) {
      if (p.page) link.href = root + p.page;
      else link.removeAttribute("href");
    }
  }

  // Dialogs

  const KEYS = [["← → ↑ ↓", "among maps; on a map's page ← and → to its neighbours"],
    ["Home, End", "first and last map"], ["u", "up, to the map's layer"], ["Page Up, Page Down", "layer before and after"],
    ["[ ]", "snapshot before and after"], ["/", "search"], ["?", "these keys"], ["Esc", "close"]];
  const dialogs = {};
  function dialog(name) {
    if (dialogs[name]) return dialogs[name];
    const box = dialogs[name] = document.createElement("dialog");
    box.setAttribute("aria-labelledby", name + "-title");
    const title = document.createElement("h2");
    title.id = name + "-title";
    title.textContent = name === "help" ? "Keys" : "Search";
    box.append(title);
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    close.addEventListener("click", () => box.close());
    if (name === "help") {
      const table = document.createElement("table");
      for (const words of KEYS) {
        const row = table.insertRow();
        words.forEach((text, i) => { const cell = row.insertCell(); cell.textContent = text; if (!i) cell.style.whiteSpace = "nowrap"; });
      }
      box.append(table);
    } else {
      const input = document.createElement("input"), list = document.createElement("ul");
      input.type = "search";
      input.setAttribute("aria-label", "A layer, a layer and a number, a class or an image");
      input.placeholder = "layer, layer 17, class or image";
      list.className = "found";
      const status = document.createElement("p");
      status.setAttribute("role", "status");
      status.className = "caption";
      input.addEventListener("input", () => find(input.value, list, status));
      input.addEventListener("keydown", (e) => {
        const first = $("a", list);
        if (e.key === "Enter" && first) first.click();
        if (e.key === "ArrowDown" && first) { e.preventDefault(); first.focus(); }
      });
      rove(list);
      box.append(input, status, list);
    }
    box.append(close);
    document.body.append(box);
    return box;
  }
  function open(name) {
    const box = dialog(name);
    if (!box.open) box.showModal();
    if (name === "search" && !(window.ATLAS && ATLAS.search)) {
      const file = document.createElement("script");
      file.src = root + "data/search.js";
      file.addEventListener("load", () => $("input", box).dispatchEvent(new Event("input")));
      document.head.append(file);
    }
  }
  function find(text, list, status) {
    const known = window.ATLAS && ATLAS.search, words = text.trim().toLowerCase(), hits = [];
    list.replaceChildren();
    status.textContent = "";
    if (!known || !words) return;
    const hit = (label, about, href) => hits.push([label, about, href]);
    const [, name, number] = words.match(/^(.*?)[\s/]*(\d+)?$/s);
    for (const [layer, slug, maps] of known.layers) {
      const low = layer.toLowerCase();
      if (low.includes(words)) hit(layer, `${maps} maps`, `layers/${slug}/index.html`);
      if (number !== undefined && Number(number) < maps && (!name || low.includes(name))) {
        hit(`${layer} ${Number(number)}`, "map", `layers/${slug}/${Number(number)}.html`);
      }
    }
    known.classes.forEach((c, i) => { if (c.toLowerCase().includes(words)) hit(c, "class", `classes/${i}.html`); });
    for (const [image, label, page] of known.images) {
      if (label.toLowerCase().includes(words) || String(image) === words) hit(label, `image ${image}`, page);
    }
    for (const [label, about, href] of hits.slice(0, 40)) {
      const li = document.createElement("li"), a = document.createElement("a"), small = document.createElement("small");
      a.href = root + href;
      a.textContent = label;
      small.textContent = about;
      a.append(small);
      li.append(a);
      list.append(li);
    }
    status.textContent = hits.length > 40 ? `40 of ${hits.length}` : `${hits.length} found`;
    list.reset();
  }
  $$("[data-open]").forEach((b) => b.addEventListener("click", () => open(b.dataset.open)));

  // Keys of every page

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    const typing = e.target.closest("input, select, textarea, dialog");
    // A dialog that was closed keeps the focus until the next frame.
    if (typing && !typing.closest("dialog:not([open])")) return;
    const enter = () => {
      const first = $("[data-grid] a[tabindex='0']");
      if (first) first.focus();
      return Boolean(first);
    };
    // Where a page has neighbours, arrows lead to them; elsewhere into the first grid.
    const along = (name) => go($(`[data-${name}]`)) || (!$("[data-previous], [data-next]") && enter());
    const own = {
      "/": () => { open("search"); return true; },
      "?": () => { open("help"); return true; },
      "[": () => { step(-1); return true; },
      "]": () => { step(1); return true; },
      u: () => go($("[data-up]")),
      PageUp: () => go($("[data-layer-previous]")),
      PageDown: () => go($("[data-layer-next]")),
      ArrowLeft: () => along("previous"),
      ArrowRight: () => along("next"),
      Home: () => along("first"),
      End: () => along("last"),
    };
    if (own[e.key] && own[e.key]()) e.preventDefault();
  });

  // Start

  $$("[data-js]").forEach((one) => { one.hidden = false; });
  $$("[data-grid]").forEach(rove);
  const show = { layer, unit }[kind] ? { layer, unit }[kind]() : () => {};
  function apply() {
    if (slider) {
      slider.value = chosen();
      $("#snapshot-name").textContent = JSON.parse(slider.dataset.names)[chosen()];
    }
    show();
    for (const a of slider ? $$("main a[href*='.html'], header a[href*='.html']") : []) {
      a.dataset.plain ??= a.getAttribute("href");
      a.setAttribute("href", kept(a.dataset.plain));
    }
  }
  window.addEventListener("hashchange", apply);
  apply();
  const back = kind === "layer" && state().get("at");
  if (back && /^\d+$/.test(back)) $(`#u${back} a`)?.focus();
})();
