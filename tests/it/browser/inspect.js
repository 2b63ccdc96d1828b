// Looks at a page as somebody would who checks it by hand, and returns what is wrong with it: a list of sentences.
// One argument: how wide the window is, in CSS pixels.
const [width] = arguments;
const wrong = [];
// What is folded up is looked at where it is unfolded.
const all = css => [...document.querySelectorAll(css)].filter(element => !element.closest('details:not([open]) > :not(summary)'));
const shown = element => element.getClientRects().length > 0 && getComputedStyle(element).visibility === 'visible';
// What is there for those who listen, or until it has the focus, takes no room on the screen.
const aside = element => {
  for (let at = element; at && at !== document.body; at = at.parentElement) {
    const { width: across, height, right, bottom } = at.getBoundingClientRect();
    if ((across <= 1 && height <= 1) || right <= 0 || bottom + scrollY <= 0) return true;
  }
  return false;
};
const named = element => {
  const text = (element.innerText || element.value || '').trim().replace(/\s+/g, ' ').slice(0, 40);
  const place = element.id ? `#${element.id}` : element.className ? `.${element.className}` : '';
  return `${element.tagName.toLowerCase()}${place} ${JSON.stringify(text)}`;
};

// What a screen reader is told.
if (!document.documentElement.lang) wrong.push('the page names no language');
if (!document.title.trim()) wrong.push('the page has no title');
if (all('h1').length !== 1) wrong.push(`${all('h1').length} h1`);
if (all('main').length !== 1) wrong.push(`${all('main').length} main`);
let level = 0;
for (const heading of all('h1, h2, h3, h4, h5, h6')) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) wrong.push(`${named(heading)} follows a heading of level ${level}`);
  level = own;
}
for (const field of all('input:not([type=hidden]), select, textarea')) {
  const labels = [...(field.labels ?? [])].map(label => label.innerText.trim());
  if (!labels.some(Boolean) && !field.getAttribute('aria-label')) wrong.push(`${named(field)} has no label`);
}
for (const control of all('button, a, summary')) {
  if (!control.innerText.trim() && !control.getAttribute('aria-label')) wrong.push(`${named(control)} has no name`);
}
const ids = all('[id]').map(element => element.id);
for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) wrong.push(`#${id} is there twice`);
for (const attribute of ['aria-describedby', 'aria-labelledby', 'aria-controls', 'for']) {
  for (const element of all(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(/\s+/)) {
      if (!document.getElementById(id)) wrong.push(`${named(element)}: ${attribute} names #${id}, which is not there`);
    }
  }
}

// What fits.
const { scrollWidth } = document.documentElement;
if (scrollWidth > width) wrong.push(`the page is ${scrollWidth} wide in a window of ${width}`);
for (const element of all('body *').filter(shown).filter(element => !aside(element))) {
  const { left, right } = element.getBoundingClientRect();
  if (right > width + 0.5 || left < -0.5) wrong.push(`${named(element)} stands from ${left} to ${right}`);
}
// What a finger has to hit. A link within a sentence is as high as its line.
const inSentence = element => element.tagName === 'A' && element.closest('p, li, dd') !== null
  && element.closest('p, li, dd').innerText.trim() !== element.innerText.trim();
for (const control of all('button, a, summary, input:not([type=hidden]), select').filter(shown).filter(element => !aside(element))) {
  // A box to tick is as large as the label around it.
  const target = (/^(checkbox|radio)$/.test(control.type ?? '') && control.closest('label')) || control;
  const { width: across, height } = target.getBoundingClientRect();
  if (width < 600 && !inSentence(control) && (height < 39.5 || across < 24)) wrong.push(`${named(control)} is ${across} by ${height}`);
}

// What can be read.
const parse = text => {
  const numbers = (text.match(/-?[\d.]+(e-?\d+)?%?/g) ?? []).map(part => parseFloat(part) / (part.endsWith('%') ? 100 : 1));
  if (/^rgba?\(/.test(text)) return [...numbers.slice(0, 3), numbers[3] ?? 1];
  if (/^color\(srgb /.test(text)) return [...numbers.slice(0, 3).map(part => part * 255), numbers[3] ?? 1];
  wrong.push(`a colour that cannot be read: ${text}`);
  return [0, 0, 0, 1];
};
const over = ([r, g, b, alpha], [r2, g2, b2]) =>
  [r * alpha + r2 * (1 - alpha), g * alpha + g2 * (1 - alpha), b * alpha + b2 * (1 - alpha), 1];
const ground = element => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  return layers.reduceRight((below, layer) => over(layer, below), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const readable = (element, text, least) => {
  const below = ground(element);
  const ratio = contrast(over(parse(text), below), below);
  if (ratio < least) wrong.push(`${named(element)}: contrast ${ratio.toFixed(2)}, ${text} on ${below.map(Math.round)}`);
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || seen.has(element) || !shown(element) || aside(element)) continue;
  seen.add(element);
  readable(element, getComputedStyle(element).color, 4.5);
}
for (const field of all('input:not([type=hidden]), select, textarea').filter(shown)) {
  readable(field, getComputedStyle(field).color, 4.5);
  // Where a field is has to be seen as well.
  if (!/^(checkbox|radio)$/.test(field.type)) readable(field.parentElement, getComputedStyle(field).borderTopColor, 3);
}
if (seen.size === 0) wrong.push('the page shows no text');
return wrong;
