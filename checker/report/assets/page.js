"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const made = [];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  // Faults are shaded behind the grid, by the colour of their family.
  function bands(u) {
    const ctx = u.ctx;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    for (const b of data.bands || []) {
      const from = u.valToPos(b.from, "x", true), to = u.valToPos(b.to, "x", true);
      ctx.globalAlpha = 0.13;
      ctx.fillStyle = color(b.family);
      ctx.fillRect(from, u.bbox.top, Math.max(to - from, 1), u.bbox.height);
      ctx.globalAlpha = 0.85;
      ctx.fillRect(from, u.bbox.top, Math.max(to - from, 2), 3 * devicePixelRatio);
    }
    ctx.restore();
  }

  // A dashed line stands where a check found its first witness.
  function marks(u) {
    const ctx = u.ctx;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    ctx.strokeStyle = color("violation");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const m of data.marks || []) {
      const x = u.valToPos(m, "x", true);
      ctx.beginPath();
      ctx.moveTo(x, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + u.bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  const time = (v) => (v == null ? "–" : v.toFixed(2) + " s");
  const took = (v) => (v == null ? "–" : v >= 1000 ? (v / 1000).toFixed(2) + " s" : v < 10 ? v.toFixed(2) + " ms" : v.toFixed(0) + " ms");
  const rate = (v) => (v == null ? "–" : v.toFixed(v < 10 ? 1 : 0) + " /s");

  function axes(log) {
    const base = {
      stroke: () => color("quiet"),
      grid: { stroke: () => color("line"), width: 1 },
      ticks: { stroke: () => color("line"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif",
    };
    return [
      Object.assign({}, base, { values: (u, vs) => vs.map((v) => v + " s"), size: 34 }),
      Object.assign({}, base, log ? { values: decades, size: 68, filter: onlyDecades, grid: Object.assign({ filter: onlyDecades }, base.grid), ticks: Object.assign({ filter: onlyDecades }, base.ticks) } : { values: plain, size: 68 }),
    ];
  }

  // On a logarithmic axis only powers of ten have a name and a line.
  const decade = (v) => v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9;
  const decades = (u, vs) => vs.map((v) => (v != null && decade(v) ? (v >= 1000 ? v / 1000 + " s" : v + " ms") : null));
  const onlyDecades = (u, vs) => vs.map((v) => (decade(v) ? v : null));
  const plain = (u, vs) => vs.map((v) => v + " /s");

  function chart(id, height, log, table, series, legend) {
    const host = document.getElementById(id);
    if (!host) return;
    const u = new uPlot({
      width: host.clientWidth,
      height: height,
      legend: { show: legend },
      cursor: { sync: { key: "run" }, drag: { x: true, y: false }, points: { show: legend } },
      scales: {
        x: { time: false, range: (u, lo, hi) => (lo == null || lo === hi ? [0, data.span] : u.zoomed ? [lo, hi] : [0, data.span]) },
        y: log ? { distr: 3 } : { range: (u, lo, hi) => [0, hi > 0 ? hi * 1.08 : 1] },
      },
      axes: axes(log),
      series: [{ label: "Time", value: (u, v) => time(v) }].concat(series),
      hooks: {
        setScale: [(u, key) => { if (key === "x") host.dataset.shown = u.scales.x.min.toFixed(1) + " " + u.scales.x.max.toFixed(1); }],
        drawClear: [bands],
        draw: [marks],
        setSelect: [(u) => { for (const m of made) m.zoomed = u.select.width > 0 || m.zoomed; }],
      },
    }, table, host);
    u.over.addEventListener("dblclick", () => { for (const m of made) m.zoomed = false; }, true);
    u.host = host;
    made.push(u);
  }

  const dots = (label, name, alpha) => ({
    label: label,
    stroke: () => color(name),
    paths: () => null,
    points: { show: true, size: 3, width: 0, stroke: null, fill: () => color(name) + alpha },
    value: (u, v) => took(v),
  });
  const curve = (label, name, show, dash) => ({ label: label, stroke: () => color(name), width: 1.75, dash: dash, spanGaps: false, points: { show: false }, value: (u, v) => show(v) });

  if (data.points[0]) {
    chart("points", 300, true, data.points, [dots("ok", "s-ok", "99"), dots("failed", "s-fail", "ee"), dots("unknown", "s-info", "ee")], false);
    chart("quant", 230, true, data.quant, [curve("p50", "q50", took), curve("p95", "q95", took, [6, 3]), curve("p99", "q99", took)], true);
    chart("rate", 210, false, data.rate, [curve("ok", "s-ok", rate), curve("failed", "s-fail", rate, [6, 3]), curve("unknown", "s-info", rate, [2, 3])], true);
  }

  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { for (const u of made) u.setSize({ width: u.host.clientWidth, height: u.height }); });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const u of made) u.redraw(false, true); });
  document.documentElement.dataset.charts = String(made.length);
})();
