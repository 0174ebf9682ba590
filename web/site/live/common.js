// The common code of the live parts: elements, the engine of the page, its status line, and runs that pause
// while the page is hidden.

import { draw } from '../charts.js';

const NO_ADAPTER =
  'Switch on graphics acceleration in the settings of the browser and start it again; in Chrome and Edge, ' +
  'chrome://gpu shows why WebGPU is off.';

/** An element with properties and children. Those whose name has a dash are attributes. */
export function h(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes('-') || key === 'role' || key === 'for') node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A labelled choice: `options` are [value, words]. */
export function choice(words, options, value, change) {
  const select = h(
    'select',
    {},
    options.map(([key, text]) => h('option', { value: key, selected: String(key) === String(value) }, text)),
  );
  select.onchange = () => change(select.value);
  return h('label', {}, `${words} `, select);
}

let sliders = 0;

/** A labelled slider; `show` gives the words of a value. */
export function slider(words, { low, high, step = 1, value, show = String }, change) {
  const id = `slider${sliders++}`;
  const said = h('output', { for: id }, show(value));
  const input = h('input', {
    type: 'range',
    id,
    min: low,
    max: high,
    step,
    value,
    'aria-valuetext': show(value),
  });
  input.oninput = () => {
    said.textContent = show(Number(input.value));
    input.setAttribute('aria-valuetext', said.textContent);
    change(Number(input.value));
  };
  return h('div', { className: 'slider' }, h('span', {}, h('label', { for: id }, words), ' ', said), input);
}

export const button = (words, click, properties = {}) =>
  h('button', { type: 'button', onclick: click, ...properties }, words);
export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const bytes = (count) =>
  count >= 1048576
    ? `${(count / 1048576).toFixed(2)} MiB`
    : count >= 1024
      ? `${(count / 1024).toFixed(1)} KiB`
      : `${count} B`;
export const milliseconds = (count) =>
  count >= 1000
    ? `${(count / 1000).toFixed(1)} s`
    : count >= 10
      ? `${count.toFixed(0)} ms`
      : `${count.toFixed(1)} ms`;

/** A chart in a box, drawn again when the width of the box changes. */
export function chart() {
  const box = h('div', { className: 'chart' });
  let last = null,
    wide = 0;
  new ResizeObserver(() => {
    if (last && box.clientWidth !== wide) paint();
  }).observe(box);
  function paint() {
    wide = box.clientWidth;
    draw(box, last);
  }
  return {
    box,
    draw(what) {
      last = what;
      if (box.isConnected) paint();
    },
  };
}

let opened = null; // The engine of this page, or a promise of it.

/** The engine of this page, if it is open. */
export const current = () => opened;

/** A live part: its status line, the page's engine, and its runs. */
export class Part {
  constructor(place) {
    this.place = place;
    this.has = place.dataset.engine === 'yes';
    this.runs = new Set();
    this.status = h('p', { className: 'status', role: 'status' });
    this.trouble = h('p', { className: 'alert', role: 'alert', hidden: true });
    place.replaceChildren();
    document.addEventListener('visibilitychange', () => {
      for (const run of this.runs)
        if (document.hidden) run.pause().catch(() => {});
        else if (!run.held) run.resume().catch(() => {});
      if (!this.runs.size) return;
      const again = [...this.runs].some((run) => !run.held) ? 'Training again.' : 'Paused.';
      this.say(document.hidden ? 'Paused while this page is hidden.' : again);
    });
  }

  /** Clears the state that is lost with the device, such as heads; parts override it. */
  onLost() {}

  say(words) {
    // A screen reader gets the events, and not every step.
    this.status.setAttribute('aria-live', /\bstep \d|\d of \d/.test(words) ? 'off' : 'polite');
    this.status.textContent = words;
  }

  fail(error) {
    this.trouble.hidden = !error;
    if (error) {
      const words = error.message.replace(/[.]?$/, '.');
      const where = error.kind === 'no-adapter' ? ` ${NO_ADAPTER}` : '';
      // The name of a file stays as it is.
      this.trouble.textContent =
        words.replace(/^[a-z]+(?= )/, (word) => word[0].toUpperCase() + word.slice(1)) + where;
      this.say('');
    }
  }

  /** Does `work` and shows an error of it; `undefined` if there was one. */
  async attempt(work) {
    this.fail(null);
    try {
      const result = await work();
      if (/^(Compiling|Making)/.test(this.status.textContent) && !this.runs.size) this.say('Ready.');
      return result;
    } catch (error) {
      this.fail(error);
      if (!error.kind && error.name !== 'Error') console.error(error);
    }
  }

  /** The engine, opened when it is first needed. */
  async engine() {
    if (!opened) {
      this.say('Opening the engine …');
      const start = performance.now();
      const offline = () => {
        throw new Error('The engine could not be loaded: is this machine offline?');
      };
      opened = import('../engine.js').catch(offline).then(({ openEngine }) =>
        openEngine({
          assets: new URL('../assets/', import.meta.url).href,
          // A single kernel is compiled almost at once, during other work that the line describes.
          onCompile: ({ done, total, kernel, milliseconds: time }) =>
            total > 1 &&
            this.say(`Compiling kernels: ${done} of ${total} in ${milliseconds(time)}, now ${kernel}.`),
        }),
      );
      try {
        const engine = await opened;
        engine.lost.then((error) => {
          opened = null;
          this.runs.clear();
          this.onLost();
          this.fail(
            Object.assign(
              new Error(
                `${error.message.replace(/[.]?$/, '.')} The results stay. Start again to open the device again.`,
              ),
              { kind: error.kind },
            ),
          );
        });
        this.say(`Ready on ${engine.adapter} after ${milliseconds(performance.now() - start)}.`);
      } catch (error) {
        opened = null;
        throw error;
      }
    }
    return opened;
  }

  /** Starts a run that pauses while the page is hidden; `told` gets its events. */
  async train(settings, told) {
    const engine = await this.engine();
    this.say('Making the plan and compiling its kernels …');
    const run = await engine.train(settings, told);
    this.runs.add(run);
    // Compiling is over, and an evaluation precedes the first step.
    if (/^(Compiling|Making)/.test(this.status.textContent))
      this.say(
        settings.evaluateEvery === null
          ? 'Taking the first step …'
          : 'Measuring the accuracy before the first step …',
      );
    const over = () => this.runs.delete(run);
    run.finished.then(over, (error) => {
      over();
      this.fail(error);
    });
    if (document.hidden) run.pause().catch(() => {});
    return run;
  }
}

/** A button that starts a run and then stops it: one run at a time. */
export class Single {
  constructor(part, go) {
    [this.part, this.go, this.run] = [part, go, null];
  }

  async stop() {
    this.go.disabled = true;
    this.part.say('Stopping after this step …');
    await this.part.attempt(() => this.run.stop());
  }

  /** Runs `settings` to the end. `told` gets the events, and `begun` is called when compiling is over.
   * Returns how the run ended, null if it failed, and undefined if it did not begin. */
  async train(settings, told, begun = () => {}) {
    this.go.disabled = true;
    const run = await this.part.attempt(() => this.part.train(settings, told));
    this.go.disabled = false;
    if (!run) return undefined;
    this.run = run;
    this.go.textContent = 'Stop';
    begun();
    const end = await run.finished.catch(() => null);
    run.close?.().catch(() => {});
    this.run = null;
    this.go.disabled = false; // A stop has disabled the button.
    return end;
  }
}

/** Draws pixels on a canvas: `at(i)` gives [r, g, b] of pixel i. */
export function picture(width, height, at, words) {
  const canvas = h('canvas', { width, height, role: 'img', 'aria-label': words });
  const context = canvas.getContext('2d'),
    image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...at(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The pixels that `engine.js` gives, as a canvas. */
export const shown = ({ width, height, channels, pixels }, words) =>
  picture(
    width,
    height,
    (i) => [0, 1, 2].map((c) => pixels[channels * i + Math.min(c, channels - 1)]),
    words,
  );
