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
  const line = (parent, [x1, y1], [x2, y2], stroke, more) =>
    make(parent, "line", { x1, y1, x2, y2, stroke, ...more });
  const write = (parent, [x, y], anchor, style, text) =>
    make(parent, "text", { x, y, "text-anchor": anchor, class: style }, text);
  const place = (octant, radius) => {
    const angle = Math.PI / 2 - octant * Math.PI / 4;
    return [200 + radius * Math.cos(angle), 200 - radius * Math.sin(angle)];
  };
  const path = (points) => points.map((point) => point.join()).join(" ");
  const CLIENT = 138, THERAPIST = 102, HEARD = 66, TRAIL = 4;
  let episode = data.episodes[0], session = 0, timer = null;

  const option = (value, text) => new Option(text, value);
  for (const id of new Set(data.episodes.map((e) => e.therapist))) {
    who.append(option(id, data.labels[id] || id));
  }
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
  for (const r of [CLIENT, THERAPIST]) {
    make(circle, "circle", { cx: 200, cy: 200, r, fill: "none", stroke: "var(--line)" });
  }
  line(circle, [200, 62], [200, 338], "var(--line)");
  line(circle, [62, 200], [338, 200], "var(--line)");
  data.octants.forEach((letters, octant) => {
    const [x, y] = place(octant, 180);
    write(circle, [x, y + 5], "middle", "strong", letters);
  });
  const layer = make(circle, "g", {});

  // The chart: RS above, bond below, each on its own scale.
  const X0 = 46, X1 = 388;
  const charts = { rs: { name: "RS", color: "var(--blue)", top: 16, bottom: 134 },
    bond: { name: "bond", color: "var(--green)", top: 166, bottom: 272 } };
  let cursor = null;
  const xOf = (t) => X0 + (X1 - X0) * t / Math.max(1, episode.sessions);
  const drawChart = () => {
    chart.textContent = "";
    for (const [part, of] of Object.entries(charts)) {
      const { color, top, bottom } = of;
      const values = [episode["initial_" + part], ...episode[part]];
      const ends = part === "rs" ? [...values, episode.threshold] : values;
      let low = Math.min(...ends), high = Math.max(...ends);
      const margin = Math.max(0.01, 0.08 * (high - low));
      low = Math.max(0, low - margin); high = Math.min(1, high + margin);
      const y = (v) => bottom - (bottom - top) * (v - low) / (high - low);
      line(chart, [X0, top], [X0, bottom], "var(--grey)");
      line(chart, [X0, bottom], [X1, bottom], "var(--grey)");
      for (const v of [low, high]) write(chart, [X0 - 4, y(v) + 4], "end", "small", v.toFixed(2));
      if (part === "rs") {
        const at = y(episode.threshold);
        line(chart, [X0, at], [X1, at], "var(--orange)", { "stroke-dasharray": "5 4" });
        write(chart, [X0 + 5, at + 14], "start", "small",
          "success at " + episode.threshold.toFixed(2));
      }
      of.values = values;
      of.points = values.map((v, t) => [xOf(t), y(v)]);
      make(chart, "polyline", { points: path(of.points), fill: "none", stroke: color,
        "stroke-width": 2, opacity: 0.45 });
      of.dot = make(chart, "circle", { r: 5, fill: color });
      of.readout = write(chart, [X1, bottom - 8], "end", "", "");
      of.passed = make(chart, "polyline", { fill: "none", stroke: color, "stroke-width": 3 });
    }
    cursor = line(chart, [X0, 10], [X0, 276], "var(--ink)", { opacity: 0.35 });
    write(chart, [X0, 294], "start", "small", "0");
    write(chart, [X1, 294], "end", "small", episode.sessions);
    write(chart, [(X0 + X1) / 2, 294], "middle", "small", "session");
  };

  const draw = () => {
    layer.textContent = "";
    scrub.value = session;
    scrub.setAttribute("aria-valuetext", `session ${session} of ${episode.sessions}`);
    const x = xOf(session);
    for (const { name, values, points, dot, passed, readout } of Object.values(charts)) {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", points[session][1]);
      passed.setAttribute("points", path(points.slice(0, session + 1)));
      readout.textContent = `${name} ${values[session].toFixed(3)}`;
    }
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const felt = `RS ${charts.rs.values[session].toFixed(3)} (success at ` +
      `${episode.threshold.toFixed(2)}), bond ${charts.bond.values[session].toFixed(3)}.`;
    if (session === 0) { now.textContent = `Intake. ${felt}`; return; }
    const acts = [[episode.client_act, CLIENT, "var(--blue)"],
      [episode.therapist_act, THERAPIST, "var(--orange)"]];
    for (let t = Math.max(1, session - TRAIL); t < session; t++) {
      const opacity = 0.12 + 0.1 * (TRAIL - (session - t));
      for (const [act, radius, color] of acts) line(layer, place(act[t - 1], radius),
        place(act[t], radius), color, { "stroke-width": 3, opacity });
    }
    const c = episode.client_act[session - 1], a = episode.therapist_act[session - 1],
      h = episode.heard_act[session - 1];
    const complement = data.complement[c];
    const [p, q] = [place(complement - 0.42, 158), place(complement + 0.42, 158)];
    make(layer, "path", { d: `M${p} A158,158 0 0 1 ${q}`, fill: "none",
      stroke: "var(--green)", "stroke-width": 6, "stroke-linecap": "round" });
    const [cx, cy] = place(c, CLIENT), [ax, ay] = place(a, THERAPIST), [hx, hy] = place(h, HEARD);
    line(layer, [cx, cy], [ax, ay], "var(--ink)", { "stroke-width": 1.5 });
    if (h !== a) {
      const dashed = { stroke: "var(--orange)", "stroke-dasharray": "4 3" };
      line(layer, [ax, ay], [hx, hy], "var(--orange)", { ...dashed, "stroke-width": 1.5 });
      make(layer, "rect", { x: hx - 11, y: hy - 11, width: 22, height: 22, fill: "none",
        ...dashed, "stroke-width": 2.5 });
    }
    make(layer, "rect", { x: ax - 13, y: ay - 13, width: 26, height: 26, fill: "var(--orange)",
      transform: `rotate(45 ${ax} ${ay})` });
    write(layer, [ax, ay + 5], "middle", "on-therapist", "T");
    make(layer, "circle", { cx, cy, r: 16, fill: "var(--blue)" });
    write(layer, [cx, cy + 5], "middle", "on-client", "C");
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
