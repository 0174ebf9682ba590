// Puzzles: a kernel to fill in, run on the reader's GPU and compared with plain loops in double precision.

import { get, set } from '../state.js';
import { Part, button, h, milliseconds } from './common.js';
import { recall, remember } from './store.js';

const SOLVED = 'puzzles-solved'; // In localStorage, with the text of each puzzle.
const PATIENCE = 60; // Seconds after which a marking can be cancelled.

export async function begin(place) {
  const part = new Part(place);
  let worker = null,
    last = 0,
    hints = 0,
    puzzle = null;
  const waiting = new Map();
  const list = h('select', { 'aria-label': 'Puzzle' }),
    about = h('p', {}),
    shown = h('ol', { className: 'hints' });
  const numbers = h('pre', { className: 'numbers', 'aria-hidden': 'true' });
  const editor = h('textarea', {
    spellcheck: false,
    autocapitalize: 'off',
    autocomplete: 'off',
    wrap: 'off',
    'aria-label': 'The WGSL of the kernel',
    'aria-describedby': 'editor-keys',
  });
  const result = h('pre', { className: 'result', role: 'status', tabIndex: 0 });
  const mark = button('Mark it', run, { className: 'primary' }),
    hint = button('A hint', more);
  const again = button('Begin again', () => {
    editor.value = puzzle.template;
    kept();
    number();
    result.textContent = '';
  });
  place.append(
    h('div', { className: 'row' }, h('label', {}, 'Puzzle ', list)),
    about,
    h('div', { className: 'editor' }, numbers, editor),
    h('p', { className: 'soft', id: 'editor-keys' }, 'Ctrl+Enter marks. Your text stays in this browser.'),
    h('div', { className: 'row' }, mark, hint, again),
    part.status,
    part.trouble,
    result,
    shown,
  );
  const puzzles = await part.attempt(() => ask('list'));
  if (!puzzles) return;
  const solved = before();
  fill();
  list.onchange = () => show(list.value);
  editor.oninput = () => {
    kept();
    number();
  };
  editor.onscroll = () => {
    numbers.scrollTop = editor.scrollTop;
  };
  editor.onkeydown = (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) run();
    else {
      // The next line has the same indentation.
      const from = editor.value.lastIndexOf('\n', editor.selectionStart - 1) + 1;
      const indent = editor.value.slice(from, editor.selectionStart).match(/^ */)[0];
      editor.setRangeText(`\n${indent}`, editor.selectionStart, editor.selectionEnd, 'end');
      editor.oninput();
    }
  };
  const first = puzzles.find(({ name }) => !solved.has(name)) ?? puzzles[0];
  show(puzzles.some(({ name }) => name === get('puzzle')) ? get('puzzle') : first.name);

  /** The puzzles that were solved on earlier visits. */
  function before() {
    try {
      return new Set(JSON.parse(recall(SOLVED)) ?? []);
    } catch {
      return new Set();
    }
  }

  /** Sends a request to the worker, and starts one if there is none. */
  function ask(call, args = {}) {
    if (!worker) {
      worker = new Worker(new URL('../puzzles-worker.js', import.meta.url), { type: 'module' });
      worker.onmessage = ({ data }) => {
        const { resolve, reject } = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.error) reject(new Error(data.error));
        else resolve(data.result);
      };
      worker.onerror = () => end('The worker that marks puzzles could not be loaded.');
    }
    const id = ++last;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, call, args });
    });
  }
  function end(why) {
    worker?.terminate();
    worker = null;
    for (const { reject } of waiting.values()) reject(new Error(why));
    waiting.clear();
  }

  function fill() {
    list.replaceChildren(
      ...puzzles.map(({ name, about }, i) =>
        h('option', { value: name }, `${i + 1}. ${name}: ${about}${solved.has(name) ? ' (solved)' : ''}`),
      ),
    );
    if (puzzle) list.value = puzzle.name;
  }
  function show(name) {
    puzzle = puzzles.find((one) => one.name === name);
    list.value = name;
    set({ puzzle: name });
    about.textContent = `Fill in ${puzzle.entry}: ${puzzle.about}. The first lines of the file describe its computation.`;
    editor.value = recall(`puzzle-${name}`) ?? puzzle.template;
    hints = 0;
    shown.replaceChildren();
    hint.disabled = false;
    result.textContent = '';
    number();
  }
  function kept() {
    remember(`puzzle-${puzzle.name}`, editor.value);
  }
  /** Numbers the lines; those in `wrong` are marked. */
  function number(wrong = []) {
    const count = editor.value.split('\n').length;
    editor.rows = Math.min(Math.max(count + 1, 14), 36);
    numbers.replaceChildren(
      ...Array.from({ length: count }, (_, i) =>
        h('span', { className: wrong.includes(i + 1) ? 'wrong' : '' }, `${i + 1}`),
      ),
    );
  }
  function more() {
    if (hints < 3) shown.append(h('li', {}, puzzle.hints[hints++]));
    hint.disabled = hints === 3;
  }

  async function run() {
    if (mark.disabled) return;
    mark.disabled = true;
    number();
    part.say('Compiling your kernel and running it …');
    const name = puzzle.name,
      start = performance.now();
    const late = setTimeout(() => end(`No result within ${PATIENCE} s.`), 1000 * PATIENCE);
    const found = await part.attempt(() =>
      ask('mark', { name, text: editor.value, seed: Math.floor(Math.random() * 2 ** 31) }),
    );
    clearTimeout(late);
    mark.disabled = false;
    if (!found) return;
    const time = milliseconds(performance.now() - start);
    if (found.complaint === null) {
      solved.add(name);
      remember(SOLVED, JSON.stringify([...solved]));
      fill();
    }
    if (puzzle.name !== name) {
      part.say(
        `Meanwhile ${name} was marked: ${found.complaint === null ? 'it is solved' : 'not yet'} (${time}).`,
      );
      return;
    }
    if (found.complaint === null) {
      part.say(`${name} is solved (${time}).`);
      result.textContent = found.right.map((shape) => `right at ${shape}`).join('\n');
      return;
    }
    part.say(`Not yet (${time}).`);
    result.textContent = found.complaint;
    const lines = [...found.complaint.matchAll(/\bline[ :](\d+)/g)].map((match) => Number(match[1]));
    number(lines);
    if (lines.length) choose(lines[0]);
  }
  /** Selects a line of the editor. */
  function choose(line) {
    const lines = editor.value.split('\n');
    if (line > lines.length) return; // The text was shortened during the marking.
    const from = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    editor.focus();
    editor.setSelectionRange(from, from + lines[line - 1].length);
  }
}
