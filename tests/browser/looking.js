// What a reader sees, measured: contrasts of texts, and texts that overlap or stand out.
(() => {
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const opaque = (colour) => /^rgb\(/.test(colour) || (channels(colour)[3] ?? 0) === 1;

  function luminance(colour) {
    const [red, green, blue] = channels(colour)
      .slice(0, 3)
      .map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function contrast(one, other) {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }

  const ownText = (part) =>
    [...part.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());

  const visible = (part) => part.checkVisibility() && part.getBoundingClientRect().width > 1;

  function groundOf(part) {
    for (let at = part; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (opaque(colour)) {
        return colour;
      }
    }
    return "rgb(255, 255, 255)";
  }

  function fillBelow(text) {
    const box = text.getBoundingClientRect();
    const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    for (const part of stack.filter((part) => part !== text && part.tagName !== "text")) {
      const style = getComputedStyle(part);
      if (part.closest("svg") !== null && part.tagName !== "svg") {
        const solid = Number(style.fillOpacity) === 1 && opaque(style.fill);
        if (solid) {
          return style.fill;
        }
      }
    }
    return groundOf(text);
  }

  window.contrasts = () => {
    const html = [...document.querySelectorAll("body *:not(svg *):not(script)")]
      .filter((part) => (ownText(part) || ["INPUT", "SELECT"].includes(part.tagName)) && visible(part))
      .map((part) => [part.textContent.slice(0, 40), contrast(getComputedStyle(part).color, groundOf(part))]);
    const drawn = [...document.querySelectorAll("svg text")].map((part) => [
      part.textContent,
      contrast(getComputedStyle(part).fill, fillBelow(part)),
    ]);
    return [...html, ...drawn];
  };

  window.overlaps = () => {
    const texts = [...document.querySelectorAll(".dx-map text")];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const found = [];
    boxes.forEach((one, at) => {
      boxes.slice(at + 1).forEach((other, after) => {
        // Boxes are as high as a line; letters and digits are lower by a quarter.
        const spare = 0.25 * Math.min(one.height, other.height);
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across > 1 && down > spare) {
          found.push([texts[at].textContent, texts[at + 1 + after].textContent]);
        }
      });
    });
    return found;
  };

  window.outside = () => {
    const picture = document.querySelector(".dx-map").getBoundingClientRect();
    return [...document.querySelectorAll(".dx-map text")]
      .filter((text) => {
        const box = text.getBoundingClientRect();
        return box.left < picture.left - 1 || box.right > picture.right + 1 || box.bottom > picture.bottom + 1;
      })
      .map((text) => text.textContent);
  };
})();
