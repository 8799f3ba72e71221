// What a reader would see to be wrong: text over text, text that is cut off. In: a page. Out: the
// problems, in words.

/// Runs in the browser.
function problems() {
  const found = new Set();
  const name = (text) => `“${text.trim().slice(0, 40)}”`;
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) found.add(`the page is ${wide} px too wide`);
  const isPresenter = document.documentElement.classList.contains("presenter");
  if (isPresenter && document.documentElement.scrollHeight > window.innerHeight) found.add("the presenter's view is more than one screen");

  // Every box of every text. What scrolls is cut off where its frame ends.
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    // The answer to a request lies over the page on purpose, for ten seconds.
    if (parent.closest(".kd-spoken, .skip, .answer, title, desc, script, style")) continue;
    const frame = parent.closest(".scroll")?.getBoundingClientRect();
    const plot = parent.closest("svg")?.getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const box = { node, parent, left, right, top, bottom };
      if (frame) Object.assign(box, { left: Math.max(left, frame.left), right: Math.min(right, frame.right) });
      if (box.right - box.left < 1 || bottom - top < 1) continue;
      boxes.push(box);
      if (box.right > window.innerWidth + 1 || box.left < -1) found.add(`${name(node.data)} is cut off at the side`);
      if (isPresenter && bottom > window.innerHeight + 1) found.add(`${name(node.data)} is cut off below`);
      if (plot && (left < plot.left - 1 || right > plot.right + 1 || top < plot.top - 1 || bottom > plot.bottom + 1)) {
        found.add(`${name(node.data)} leaves its plot`);
      }
    }
    const style = getComputedStyle(parent);
    const clips = ["hidden", "clip"].includes(style.overflowX) || ["hidden", "clip"].includes(style.overflowY);
    if (clips && !plot && (parent.scrollWidth > parent.clientWidth + 1 || parent.scrollHeight > parent.clientHeight + 1)) {
      found.add(`${name(node.data)} does not fit into its box`);
    }
  }
  // Lines of type stand closer than their boxes are high.
  const isOver = (a, b) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    return across > 2 && along > 0.35 * Math.min(a.bottom - a.top, b.bottom - b.top);
  };
  boxes.forEach((one, index) => boxes.slice(index + 1).forEach((other) => {
    if (one.node !== other.node && isOver(one, other)) found.add(`${name(one.node.data)} lies over ${name(other.node.data)}`);
  }));
  for (const pill of document.querySelectorAll("svg.kd-plot .kd-pill rect")) {
    const box = pill.getBoundingClientRect();
    for (const other of boxes.filter(({ parent }) => parent.closest("svg") === pill.closest("svg") && parent.parentElement !== pill.parentElement)) {
      if (isOver(box, other)) found.add(`the mark ${name(pill.parentElement.textContent)} lies over ${name(other.node.data)}`);
    }
  }
  return [...found];
}

export const layout = (page) => page.evaluate(problems);
