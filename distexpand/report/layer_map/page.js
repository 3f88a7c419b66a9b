"use strict";

// The layers: one of them is chosen, by pointing or by keys, and tells where it comes from.
(() => {
  const layers = [...document.querySelectorAll(".dx-layer")];
  const details = document.getElementById("details");
  const tie = document.querySelector(".dx-tie");
  const ribbons = [...document.querySelectorAll(".dx-ribbon")];
  let chosen = null;

  function release() {
    if (chosen === null) {
      return;
    }
    chosen.classList.remove("chosen");
    chosen.setAttribute("aria-selected", "false");
    chosen.setAttribute("tabindex", "-1");
  }

  function show(lines) {
    details.replaceChildren(
      ...lines.map((line) => {
        const row = document.createElement("p");
        row.textContent = line;
        return row;
      }),
    );
    details.classList.add("filled");
  }

  function choose(layer) {
    release();
    chosen = layer;
    layer.classList.add("chosen");
    layer.setAttribute("aria-selected", "true");
    layer.setAttribute("tabindex", "0");
    tie.setAttribute("d", layer.dataset.tie);
    for (const ribbon of ribbons) {
      ribbon.classList.toggle("chosen", ribbon.dataset.run === layer.dataset.run);
    }
    show(layer.querySelector("title").textContent.split("\n"));
  }

  function otherUse(layer, step) {
    const same = layers.filter((other) => other.dataset.source === layer.dataset.source);
    return same[(same.indexOf(layer) + step + same.length) % same.length];
  }

  function otherRun(layer, step) {
    const run = String(Number(layer.dataset.run) + step);
    return layers.find((other) => other.dataset.run === run) ?? (step > 0 ? layers.at(-1) : layers[0]);
  }

  const keys = {
    ArrowDown: (layer) => layers[layers.indexOf(layer) + 1],
    ArrowUp: (layer) => layers[layers.indexOf(layer) - 1],
    ArrowLeft: (layer) => otherUse(layer, -1),
    ArrowRight: (layer) => otherUse(layer, 1),
    PageDown: (layer) => otherRun(layer, 1),
    PageUp: (layer) => otherRun(layer, -1),
    Home: () => layers[0],
    End: () => layers.at(-1),
  };

  for (const layer of layers) {
    layer.addEventListener("focus", () => choose(layer));
    layer.addEventListener("mouseenter", () => choose(layer));
    layer.addEventListener("click", () => layer.focus({ preventScroll: true }));
    layer.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        details.classList.remove("filled");
        return;
      }
      if (!Object.hasOwn(keys, event.key)) {
        return;
      }
      event.preventDefault();
      (keys[event.key](layer) ?? layer).focus();
    });
  }
})();

// The time at the rates that stand in the form, as report/map_rates.py has it.
(() => {
  const form = document.getElementById("rates");
  const field = (name) => document.getElementById(name);

  function two(number) {
    return String(number).padStart(2, "0");
  }

  function durationText(seconds) {
    if (seconds < 9.95) {
      return `${seconds.toFixed(1)} s`;
    }
    const whole = Math.round(seconds);
    if (whole < 60) {
      return `${whole} s`;
    }
    if (whole < 3600) {
      return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    }
    if (whole < 86400) {
      return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
    }
    return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
  }

  function rate(name, unit) {
    const input = field(name);
    const valid = input.value !== "" && Number(input.value) > 0;
    input.setAttribute("aria-invalid", String(!valid));
    return valid ? Number(input.value) * unit : NaN;
  }

  function stages() {
    const remote = field("output").value === "network";
    const read = Number(remote ? form.dataset.readApart : form.dataset.read);
    const written = Number(remote ? form.dataset.writtenApart : form.dataset.written);
    const [disk, write, network] = [rate("disk-read", 1e6), rate("disk-write", 1e6), rate("network", 1.25e8)];
    return [
      field("sources").value === "network" ? ["network in", read / network] : ["disk read", read / disk],
      remote ? ["network out", written / network] : ["disk write", written / write],
    ];
  }

  function update() {
    const [name, seconds] = stages().reduce((slowest, stage) => (stage[1] > slowest[1] ? stage : slowest));
    const known = stages().every((stage) => Number.isFinite(stage[1]));
    field("time").textContent = known ? `${durationText(seconds)}, held up by ${name}` : "a time, once every rate is a number";
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
})();

// Paper can't be unfolded.
(() => {
  const folded = [...document.querySelectorAll("details")];
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = folded.filter((part) => !part.open);
    closed.forEach((part) => (part.open = true));
  });
  window.addEventListener("afterprint", () => closed.forEach((part) => (part.open = false)));
})();
