"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const stage = $("stage"), before = $("before"), after = $("after"), split = $("split");
  const crops = [...document.querySelectorAll(".crop")];
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  // The first frame's pictures are those that the page shows without a script.
  crops[0].dataset.before = before.src;
  crops[0].dataset.after = after.src;
  const view = { frame: 0, split: 50, zoom: 1, x: 0.5, y: 0.5 }; // x, y: the picture's point in the middle of the stage

  function draw() {
    const half = 0.5 / view.zoom;
    view.x = clamp(view.x, half, 1 - half);
    view.y = clamp(view.y, half, 1 - half);
    const move = `translate(${(0.5 - view.x * view.zoom) * 100}%, ${(0.5 - view.y * view.zoom) * 100}%) scale(${view.zoom})`;
    before.style.transform = after.style.transform = move;
    stage.style.setProperty("--split", `${view.split}%`);
    stage.classList.toggle("zoomed", view.zoom > 1);
    split.value = view.split;
    $("zoom").textContent = view.zoom > 1 ? `×${+view.zoom.toFixed(1)}` : "fit";
  }

  function show(frame) {
    view.frame = (frame + crops.length) % crops.length;
    const chosen = crops[view.frame].dataset;
    before.src = chosen.before;
    after.src = chosen.after;
    $("where").textContent = crops[view.frame].querySelector("span").textContent;
    crops.forEach((crop, n) => crop.setAttribute("aria-current", n === view.frame));
    document.querySelectorAll(".mark").forEach((mark) => {
      mark.classList.toggle("current", +mark.dataset.frame === view.frame);
    });
  }

  function zoom(factor, x = view.x, y = view.y) {
    const next = clamp(view.zoom * factor, 1, 16);
    // The point (x, y) of the picture stays where it is on the stage.
    view.x = x + (view.x - x) * view.zoom / next;
    view.y = y + (view.y - y) * view.zoom / next;
    view.zoom = next;
    draw();
  }

  /** A pointer's place: on the stage, and on the picture, both 0 to 1. */
  function place(event) {
    const box = stage.getBoundingClientRect();
    const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
    return { u, v, x: view.x + (u - 0.5) / view.zoom, y: view.y + (v - 0.5) / view.zoom, box };
  }

  const pointers = new Map();
  let drag = "";
  stage.addEventListener("pointerdown", (event) => {
    const p = place(event);
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, p);
    const near = Math.abs(p.u - view.split / 100) * p.box.width < 28;
    drag = pointers.size > 1 ? "pinch" : view.zoom === 1 || near ? "split" : "move";
    if (drag === "split") { view.split = clamp(p.u * 100, 0, 100); draw(); }
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const p = place(event);
    if (drag === "split") view.split = clamp(p.u * 100, 0, 100);
    if (drag === "move") { view.x -= (p.u - last.u) / view.zoom; view.y -= (p.v - last.v) / view.zoom; }
    if (drag === "pinch") {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (a) => Math.hypot((a.u - other.u) * p.box.width, (a.v - other.v) * p.box.height);
      zoom(apart(p) / Math.max(1, apart(last)), (p.x + other.x) / 2, (p.y + other.y) / 2);
    }
    pointers.set(event.pointerId, place(event));
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => { pointers.delete(event.pointerId); drag = ""; });
  }
  stage.addEventListener("dblclick", (event) => {
    const p = place(event);
    if (view.zoom > 1) zoom(1 / view.zoom); else { view.x = p.x; view.y = p.y; zoom(4); }
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && view.zoom === 1 && event.deltaY > 0) return; // the page scrolls on
    if (!event.ctrlKey && !stage.matches(":focus-within, .zoomed")) return;
    event.preventDefault();
    const p = place(event);
    zoom(2 ** (-event.deltaY / 300), p.x, p.y);
  }, { passive: false });

  split.addEventListener("input", () => { view.split = +split.value; draw(); });
  $("previous").addEventListener("click", () => show(view.frame - 1));
  $("next").addEventListener("click", () => show(view.frame + 1));
  $("larger").addEventListener("click", () => zoom(2));
  $("smaller").addEventListener("click", () => zoom(0.5));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 2, inSlider = event.target === split;
    const keys = {
      PageUp: () => show(view.frame - 1), PageDown: () => show(view.frame + 1),
      "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5), 0: () => zoom(1 / view.zoom),
      ArrowLeft: () => { view.split = clamp(view.split - step, 0, 100); draw(); },
      ArrowRight: () => { view.split = clamp(view.split + step, 0, 100); draw(); },
    };
    const action = keys[event.key];
    if (!action || (inSlider && event.key.startsWith("Arrow"))) return; // the slider moves by itself
    event.preventDefault();
    action();
  });

  crops.forEach((crop, number) => {
    const [left, top, width, height] = crop.dataset.crop.split(" ").map(Number);
    [crop.dataset.before, crop.dataset.after].forEach((source, side) => {
      const picture = new Image();
      picture.onload = () => {
        const canvas = crop.querySelectorAll("canvas")[side];
        canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height);
        canvas.dataset.drawn = "yes";
        if (side) crop.dataset.size = `${picture.naturalWidth} ${picture.naturalHeight}`;
      };
      picture.src = source;
    });
    crop.addEventListener("click", () => {
      const [w, h] = (crop.dataset.size || "1 1").split(" ").map(Number);
      show(number);
      Object.assign(view, { zoom: Math.min(16, w / width), x: (left + width / 2) / w, y: (top + height / 2) / h, split: 50 });
      draw();
      stage.scrollIntoView({ block: "center" });
    });
  });
  show(0);
  draw();
})();
