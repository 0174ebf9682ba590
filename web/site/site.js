// Loaded by every page: it marks quizzes, shows one situation of chapter 4 at a time, opens kernels, and
// loads a live part when the reader scrolls near it. Without scripts the page is complete.

import { get, set } from './state.js';

export const BROWSERS =
  'Chrome and Edge from version 113, Safari from version 26, and Firefox from version 141 on Windows ' +
  '(145 on Macs with Apple chips) can train in this page.';

if (!navigator.gpu) {
  for (const node of document.querySelectorAll('[data-webgpu]')) {
    node.textContent = `This browser has no WebGPU. ${BROWSERS}`;
    node.hidden = false;
  }
}

for (const form of document.querySelectorAll('form.quiz')) {
  const said = form.querySelector('.said');
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('change', ({ target }) => {
    const right = target.value === form.dataset.right;
    for (const label of form.querySelectorAll('label')) label.className = '';
    target.closest('label').className = right ? 'right' : 'wrong';
    said.textContent = right ? 'Right.' : 'The runs say something else.';
    form.querySelector('details').open = true;
  });
}

const grid = document.querySelector('[data-grid]');
if (grid) {
  const panels = [...grid.querySelectorAll('.panel')],
    choices = grid.querySelector('.choices');
  const show = (id) => {
    for (const panel of panels) panel.hidden = panel.id !== id;
    for (const button of choices.children) button.setAttribute('aria-pressed', button.dataset.panel === id);
  };
  for (const panel of panels) {
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', textContent: panel.dataset.name });
    button.dataset.panel = panel.id;
    button.onclick = () => {
      show(panel.id);
      set({ situation: panel.id });
    };
    choices.append(button);
  }
  choices.hidden = false;
  const asked = get('situation');
  show(panels.some((panel) => panel.id === asked) ? asked : panels[0].id);
}

// A live part is loaded when it is near the visible area, and notified when it may use the device.
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      import(`./live/${target.dataset.live}.js`)
        .then((part) => part.begin(target))
        .catch((error) => {
          target.textContent = `This part could not be loaded (${error.message}). Reload the page to try again.`;
        });
    }
  },
  { rootMargin: '400px' },
);
for (const part of document.querySelectorAll('[data-live]')) {
  if (navigator.gpu || part.dataset.engine === 'no') {
    near.observe(part);
    continue;
  }
  // The engine is there, but the browser cannot run it. Parts that train are replaced by a sentence.
  const note = document.createElement('p');
  Object.assign(note, { className: 'note', textContent: `This browser has no WebGPU. ${BROWSERS}` });
  if (part.dataset.trains === 'yes') part.replaceChildren(note);
  else {
    part.after(note);
    part.dataset.engine = 'no';
    near.observe(part);
  }
}

if (get('kernel')) import('./kernel.js').then(({ open }) => open(get('kernel')));
