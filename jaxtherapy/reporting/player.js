"use strict";
(() => {
  const host = document.getElementById("player");
  const data = JSON.parse(document.getElementById("episodes").textContent);
  if (!host || !data.episodes.length) return;
  host.textContent = "";
  host.append(document.getElementById("player-template").content.cloneNode(true));
  const at = (id) => document.getElementById(id);
  const who = at("who"), which = at("which"), scrub = at("scrub"), speed = at("speed"),
    play = at("play");
  const circle = at("circle"), chart = at("chart"), now = at("now");
  const NS = "http://www.w3.org/2000/svg";
  const make = (parent, name, attributes, text) => {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const place = (octant, radius) => {
    const angle = Math.PI / 2 - octant * Math.PI / 4;
    return [200 + radius * Math.cos(angle), 200 - radius * Math.sin(angle)];
  };
  const CLIENT = 138, THERAPIST = 102, HEARD = 66, TRAIL = 4;
  let episode = data.episodes[0], session = 0, timer = null;

  const option = (value, text) => { const o = document.createElement("option"); o.value = value;
    o.textContent = text; return o; };
  for (const id of [...new Set(data.episodes.map((e) => e.therapist))]) who.append(option(id,
    data.labels[id] || id));
  const listEpisodes = () => {
    which.textContent = "";
    data.episodes.forEach((e, i) => {
      if (e.therapist !== who.value) return;
      const cell = data.cells[e.cell] ? ", " + data.cells[e.cell] : "";
      which.append(option(i,
        `${e.reason}: client ${e.client}${cell} (${e.outcome}, ${e.sessions})`));
    });
  };

  // The circle: what stays, and a layer for what moves.
  make(circle, "circle", { cx: 200, cy: 200, r: CLIENT, fill: "none", stroke: "var(--line)" });
  make(circle, "circle", { cx: 200, cy: 200, r: THERAPIST, fill: "none", stroke: "var(--line)" });
  make(circle, "line", { x1: 200, x2: 200, y1: 62, y2: 338, stroke: "var(--line)" });
  make(circle, "line", { x1: 62, x2: 338, y1: 200, y2: 200, stroke: "var(--line)" });
  data.octants.forEach((letters, octant) => {
    const [x, y] = place(octant, 180);
    make(circle, "text", { x, y: y + 5, "text-anchor": "middle", class: "strong" }, letters);
  });
  const layer = make(circle, "g", {});

  // The chart: RS above, bond below, each on its own scale.
  const X0 = 46, X1 = 388;
  const rows = { rs: [16, 134], bond: [166, 272] };
  let scales = {}, cursor = null, dots = {}, readouts = {};
  const xOf = (t) => X0 + (X1 - X0) * t / Math.max(1, episode.sessions);
  const series = (name) => [name === "rs" ? episode.initial_rs : episode.initial_bond,
    ...episode[name]];
  const drawChart = () => {
    chart.textContent = "";
    for (const [name, [top, bottom]] of Object.entries(rows)) {
      const values = series(name);
      const ends = name === "rs" ? [...values, episode.threshold] : values;
      let low = Math.min(...ends), high = Math.max(...ends);
      const margin = Math.max(0.01, 0.08 * (high - low));
      low = Math.max(0, low - margin); high = Math.min(1, high + margin);
      const y = (v) => bottom - (bottom - top) * (v - low) / (high - low);
      scales[name] = y;
      const color = name === "rs" ? "var(--blue)" : "var(--green)";
      make(chart, "line", { x1: X0, x2: X0, y1: top, y2: bottom, stroke: "var(--grey)" });
      make(chart, "line", { x1: X0, x2: X1, y1: bottom, y2: bottom, stroke: "var(--grey)" });
      for (const v of [low, high]) make(chart, "text", {
        class: "small", x: X0 - 4, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(2));
      if (name === "rs") {
        make(chart, "line", { x1: X0, x2: X1, y1: y(episode.threshold), y2: y(episode.threshold),
          stroke: "var(--orange)", "stroke-dasharray": "5 4" });
        make(chart, "text", { class: "small", x: X0 + 5, y: y(episode.threshold) + 14 },
          "success at " + episode.threshold.toFixed(2));
      }
      make(chart, "polyline", { points: values.map((v, t) => xOf(t) + "," + y(v)).join(" "),
        fill: "none", stroke: color, "stroke-width": 2, opacity: 0.45 });
      dots[name] = make(chart, "circle", { r: 5, fill: color });
      readouts[name] = make(chart, "text", { x: X1, y: bottom - 8, "text-anchor": "end" });
      dots[name + "-path"] = make(chart, "polyline", {
        fill: "none", stroke: color, "stroke-width": 3 });
    }
    cursor = make(chart, "line", { y1: 10, y2: 276, stroke: "var(--ink)", opacity: 0.35 });
    make(chart, "text", { class: "small", x: X0, y: 294 }, "0");
    make(chart, "text", { class: "small", x: X1, y: 294, "text-anchor": "end" },
      String(episode.sessions));
    make(chart, "text", { class: "small", x: (X0 + X1) / 2, y: 294, "text-anchor": "middle" },
      "session");
  };

  const mark = (kind, octant) => {
    if (kind === "client") {
      const [x, y] = place(octant, CLIENT);
      make(layer, "circle", { cx: x, cy: y, r: 16, fill: "var(--blue)" });
      make(layer, "text", { x, y: y + 5, "text-anchor": "middle", class: "on-client" }, "C");
    } else if (kind === "therapist") {
      const [x, y] = place(octant, THERAPIST);
      make(layer, "rect", { x: x - 13, y: y - 13, width: 26, height: 26, fill: "var(--orange)",
        transform: `rotate(45 ${x} ${y})` });
      make(layer, "text", { x, y: y + 5, "text-anchor": "middle", class: "on-therapist" }, "T");
    } else {
      const [x, y] = place(octant, HEARD);
      make(layer, "rect", { x: x - 11, y: y - 11, width: 22, height: 22, fill: "none",
        stroke: "var(--orange)", "stroke-width": 2.5, "stroke-dasharray": "4 3" });
    }
  };
  const join = (a, b, attributes) => make(layer, "line", {
    x1: a[0], y1: a[1], x2: b[0], y2: b[1], ...attributes });

  const draw = () => {
    layer.textContent = "";
    scrub.value = session;
    scrub.setAttribute("aria-valuetext", `session ${session} of ${episode.sessions}`);
    const rs = series("rs"), bond = series("bond");
    for (const [name, values] of [["rs", rs], ["bond", bond]]) {
      const x = xOf(session), y = scales[name](values[session]);
      dots[name].setAttribute("cx", x); dots[name].setAttribute("cy", y);
      dots[name + "-path"].setAttribute("points", values.slice(0, session + 1).map((v, t) =>
        xOf(t) + "," + scales[name](v)).join(" "));
      readouts[name].textContent = `${name === "rs" ? "RS" : "bond"} ${values[session].toFixed(3)}`;
    }
    cursor.setAttribute("x1", xOf(session)); cursor.setAttribute("x2", xOf(session));
    const felt = `RS ${rs[session].toFixed(3)} (success at ${episode.threshold.toFixed(2)}), ` +
      `bond ${bond[session].toFixed(3)}.`;
    if (session === 0) { now.textContent = `Intake. ${felt}`; return; }
    for (let t = Math.max(1, session - TRAIL); t < session; t++) {
      const opacity = 0.12 + 0.1 * (TRAIL - (session - t));
      join(place(episode.client_act[t - 1], CLIENT), place(episode.client_act[t], CLIENT), {
        stroke: "var(--blue)", "stroke-width": 3, opacity });
      join(place(episode.therapist_act[t - 1], THERAPIST), place(episode.therapist_act[t],
        THERAPIST), { stroke: "var(--orange)", "stroke-width": 3, opacity });
    }
    const c = episode.client_act[session - 1], a = episode.therapist_act[session - 1],
      h = episode.heard_act[session - 1];
    const complement = data.complement[c];
    const [p, q] = [place(complement - 0.42, 158), place(complement + 0.42, 158)];
    make(layer, "path", { d: `M${p[0]},${p[1]} A158,158 0 0 1 ${q[0]},${q[1]}`, fill: "none",
      stroke: "var(--green)", "stroke-width": 6, "stroke-linecap": "round" });
    join(place(c, CLIENT), place(a, THERAPIST), { stroke: "var(--ink)", "stroke-width": 1.5 });
    if (h !== a) { join(place(a, THERAPIST), place(h, HEARD), {
      stroke: "var(--orange)", "stroke-width": 1.5, "stroke-dasharray": "4 3" }); mark("heard", h);
      }
    mark("therapist", a);
    mark("client", c);
    const heard = h === a ? "heard as it was" : `heard as ${data.names[h]} (${data.octants[h]})`;
    const end = session < episode.sessions
      ? "" : ` The end: ${episode.outcome}, reward ${episode.reward}.`;
    const better = a === complement
      ? "complementary" : "the complement would be " + data.names[complement];
    now.textContent = `Session ${session} of ${episode.sessions}. ` +
      `Client: ${data.names[c]} (${data.octants[c]}). ` +
      `Therapist: ${data.names[a]} (${data.octants[a]}), ${heard}; ${better}. ${felt}${end}`;
  };

  const stop = () => { clearTimeout(timer); timer = null; play.textContent = "Play";
    play.setAttribute("aria-pressed", "false"); now.setAttribute("aria-live", "polite"); };
  const tick = () => {
    if (session >= episode.sessions) { stop(); return; }
    session += 1; draw();
    timer = setTimeout(tick, 1000 / Number(speed.value));
  };
  const start = () => {
    if (session >= episode.sessions) session = 0;
    play.textContent = "Pause"; play.setAttribute("aria-pressed", "true");
      now.setAttribute("aria-live", "off");
    draw(); timer = setTimeout(tick, 500 / Number(speed.value));
  };
  const toggle = () => (timer === null ? start() : stop());
  const go = (to) => { stop(); session = Math.min(episode.sessions, Math.max(0, to)); draw(); };
  const load = () => { episode = data.episodes[Number(which.value)]; scrub.max = episode.sessions;
    drawChart(); go(0); };
  const faster = (by) => { speed.selectedIndex = Math.min(speed.options.length - 1, Math.max(0,
    speed.selectedIndex + by)); };

  who.addEventListener("change", () => { listEpisodes(); load(); });
  which.addEventListener("change", load);
  play.addEventListener("click", toggle);
  at("back").addEventListener("click", () => go(session - 1));
  at("forth").addEventListener("click", () => go(session + 1));
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  let visible = false;
  // Most of it: a sliver at the edge of the screen must not take the space key from scrolling.
  const look = (seen) => { visible = seen.at(-1).intersectionRatio >= 0.6; };
  new IntersectionObserver(look, { threshold: 0.6 }).observe(host);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target, inside = host.contains(target);
    // Elsewhere keys scroll the page as always, unless nothing is focused and the player is seen.
    if (!inside && !(visible && target === document.body)) return;
    if (target instanceof HTMLSelectElement) return;
    if (target instanceof HTMLButtonElement && event.key === " ") return;
    const keys = {
      " ": toggle, ArrowLeft: () => go(session - 1), ArrowRight: () => go(session + 1),
      ArrowUp: () => faster(1), ArrowDown: () => faster(-1),
      Home: () => go(0), End: () => go(episode.sessions),
    };
    if (!inside && !["ArrowLeft", "ArrowRight", " "].includes(event.key)) return;
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  host.tabIndex = 0;
  listEpisodes();
  load();
})();
