// Chapter 4: a line is moved through the network. Stages before it are frozen: their gradient kernels are in
// no plan. The plans are part of the page, so that the line moves without a GPU; with a GPU, the network
// trains meanwhile.

import { among, set } from '../state.js';
import { open } from '../kernel.js';
import { Part, button, bytes, chart, choice, h, milliseconds } from './common.js';

const KINDS = [
  ['forward', 'forward'],
  ['input', 'gradient of the input'],
  ['weight', 'gradient of the weights'],
  ['other', 'other backward work'],
  ['update', 'update'],
];
const TASKS = [
  ['digits', 'digits (different)'],
  ['fashion', 'other clothes (similar)'],
];
const COUNTS = [5, 10, 20, 50],
  RATES = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

/** The computation of a dispatch. Winograd's parts are named in shaders/winograd.wgsl. */
function kind({ phase, kernel }) {
  if (phase !== 'backward') return phase;
  if (/backward_weight|^partials|multiply_weight|transform_(grad|weight)/.test(kernel)) return 'weight';
  if (/backward_input|^global_avg_pool|^winograd.(multiply|transform_filter|transform_output)/.test(kernel))
    return 'input';
  return 'other';
}

export async function begin(place) {
  const part = new Part(place);
  const answer = await fetch('data/plans.json');
  const { plans } = await answer.json();
  const stages = plans.map((plan) => plan.freezeBelow);
  let at = stages.indexOf(among('freeze', stages, stages[0]));
  let plan = plans[at],
    run = null,
    held = false,
    busy = false;
  let seen = fresh();

  const line = frostline(stages, at, move);
  const bars = h('div', { className: 'kernel-bars' });
  const costs = h('tbody');
  const table = h(
    'div',
    { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'What a training step costs' },
    h(
      'table',
      { className: 'costs' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ['a training step', 'this freeze', 'nothing frozen', 'saved'].map((words) =>
            h('th', { scope: 'col' }, words),
          ),
        ),
      ),
      costs,
    ),
  );
  const legend = h(
    'p',
    { className: 'legend' },
    KINDS.map(([name, words]) => h('span', {}, h('i', { className: `swatch ${name}` }), ` ${words} `)),
    h('span', {}, h('i', { className: 'swatch absent' }), ' not dispatched'),
  );
  place.append(
    line.node,
    h(
      'p',
      { className: 'soft' },
      'Drag the line, or use the arrow keys. The network is a ResNet-10 on 16 images of 28×28 pixels. The bars are the kernels for GPUs; during training, they are those that this device runs.',
    ),
    table,
    legend,
    bars,
    h(
      'p',
      { className: 'soft' },
      'The width of a bar grows with the square root of its multiply-accumulates. Choose a bar to open its WGSL.',
    ),
  );
  if (part.has) place.append(training());
  show();

  function move(to) {
    at = to;
    set({ freeze: stages[at] === 'stem' ? null : stages[at] });
    plan = run?.plans?.get(stages[at]) ?? plans[at];
    show();
    follow();
  }

  /** Sends the line's position to the run; several moves during a transfer become one. */
  async function follow() {
    if (!run || busy) return;
    busy = true;
    try {
      while (run && !run.stopping && run.below !== stages[at]) {
        const mine = run,
          to = stages[at];
        const found = await part.attempt(() => mine.setFreezeBelow(to));
        // Meanwhile this run may have ended, and another one may have begun.
        if (run !== mine || mine.stopping) continue;
        part.say(held || document.hidden ? 'Paused.' : 'Training.');
        if (!found) break;
        mine.below = to;
        seen.moved = to;
        if (stages[at] === to) {
          plan = found;
          show();
        }
      }
    } finally {
      busy = false;
    }
  }

  function show() {
    const { ledger, unfrozen } = plan;
    const rows = [
      ['kernels dispatched', 'dispatches', String],
      ['of these backward', 'backward', String],
      ['million multiply-accumulates', 'macs', (count) => (count / 1e6).toFixed(0)],
      ['activations kept for backward', 'keptBytes', bytes],
      ['gradients', 'gradientBytes', bytes],
      ['optimizer state', 'optimizerBytes', bytes],
    ];
    costs.replaceChildren(
      ...rows.map(([words, name, show]) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, words),
          h('td', {}, show(ledger[name])),
          h('td', {}, show(unfrozen[name])),
          h('td', {}, unfrozen[name] ? `${(100 - (100 * ledger[name]) / unfrozen[name]).toFixed(0)} %` : '–'),
        ),
      ),
    );
    drawBars(bars, plan, stages);
  }

  // ---- training

  function training() {
    const accuracy = chart(),
      time = chart(),
      numbers = h('p', { className: 'now' });
    const chosen = {
      data: among(
        'data',
        TASKS.map(([data]) => data),
        'digits',
      ),
      perClass: among('perclass', COUNTS, 10),
      rate: among('rate', RATES, 0.02),
    };
    const go = button('Train', () => (run ? end() : start()), { className: 'primary' });
    const hold = button(
      'Pause',
      async () => {
        held = !held;
        run.held = held;
        hold.textContent = held ? 'Go on' : 'Pause';
        await part.attempt(() => (held ? run.pause() : run.resume()));
        part.say(held ? 'Paused.' : 'Training.');
      },
      { disabled: true },
    );
    const paint = () => {
      const line = [{ name: 'held-out images', color: 1, line: true, points: seen.accuracy }];
      accuracy.draw({
        title: 'Accuracy while the line moves',
        x: 'step',
        y: '%',
        low: 0,
        high: 100,
        wide: 20,
        series: line,
      });
      time.draw({
        title: 'Time of a step',
        x: 'step',
        y: 'ms',
        low: 0,
        wide: 20,
        series: [{ name: '', color: 0, line: true, points: seen.time }],
      });
      const last = seen.accuracy.at(-1),
        step = seen.time.at(-1);
      numbers.textContent = step
        ? `Step ${step.x}: ${milliseconds(step.y)} a step, ${seen.dispatches} kernels dispatched so far${last ? `, accuracy ${last.y.toFixed(1)} %` : ''}.`
        : '';
    };
    const told = (event) => {
      if (event.type === 'plan' && event.plan.freezeBelow === stages[at]) {
        plan = event.plan;
        show();
      }
      if (event.type === 'step') {
        if (seen.time.length === 0 && !held && !run?.stopping) part.say('Training. Move the line.');
        seen.time.push({ x: event.step, y: event.milliseconds, label: seen.moved });
        seen.moved = undefined;
        seen.dispatches = event.dispatches;
      }
      if (event.type === 'accuracy') seen.accuracy.push({ x: event.step, y: 100 * event.accuracy });
      for (const list of [seen.time, seen.accuracy])
        if (list.length > 160)
          list.splice(0, list.length, ...list.filter((point, i) => i % 2 || point.label));
      paint();
    };
    async function start() {
      const below = stages[at];
      seen = fresh();
      go.disabled = true;
      const begun = await part.attempt(() =>
        part.train(
          {
            data: chosen.data,
            network: 'fashion',
            start: 'pretrained',
            freezeBelow: below,
            rate: chosen.rate,
            perClass: chosen.perClass,
            batch: 16,
            steps: null,
            evaluateEvery: 20,
            evaluateOn: 100,
            readEvery: 2,
          },
          told,
        ),
      );
      go.disabled = false;
      if (!begun) return;
      run = begun;
      [run.below, held] = [below, false];
      [go.textContent, hold.disabled, hold.textContent] = ['Stop', false, 'Pause'];
      const mine = run;
      mine.finished
        .catch(() => {})
        .then(() => {
          if (run === mine) over();
        });
      follow();
    }
    async function end() {
      const mine = run;
      mine.stopping = go.disabled = hold.disabled = true;
      part.say('Stopping after this step …');
      await part.attempt(() => mine.stop());
      part.say('Stopped.');
      await mine.close?.().catch(() => {});
    }
    function over() {
      run = null;
      [go.textContent, go.disabled, hold.disabled] = ['Train', false, true];
    }
    const changed = (values) => {
      Object.assign(chosen, values);
      set({
        data: chosen.data === 'digits' ? null : chosen.data,
        perclass: chosen.perClass === 10 ? null : chosen.perClass,
        rate: chosen.rate === 0.02 ? null : chosen.rate,
      });
      if (run && values.rate) part.attempt(() => run.setRate(values.rate));
      if (run && values.perClass) part.attempt(() => run.setPerClass(values.perClass));
    };
    queueMicrotask(paint);
    return h(
      'div',
      {},
      h('h3', {}, 'Train while you move it'),
      h(
        'div',
        { className: 'row' },
        choice('Task', TASKS, chosen.data, (data) => changed({ data })),
        choice(
          'Images of each class',
          COUNTS.map((n) => [n, n]),
          chosen.perClass,
          (n) => changed({ perClass: Number(n) }),
        ),
        choice(
          'Rate',
          RATES.map((n) => [n, n]),
          chosen.rate,
          (n) => changed({ rate: Number(n) }),
        ),
        go,
        hold,
      ),
      part.status,
      part.trouble,
      numbers,
      accuracy.box,
      time.box,
    );
  }
}

const fresh = () => ({ accuracy: [], time: [], dispatches: 0, moved: undefined });

/** The stages as boxes, and a line between frozen and trained ones, which is a slider. */
function frostline(stages, first, move) {
  const boxes = stages.map((stage) => h('span', { className: 'stage' }, stage, h('small')));
  const line = h('div', {
    className: 'frostline',
    tabIndex: 0,
    role: 'slider',
    'aria-label': 'Frostline: the first stage that trains',
    'aria-valuemin': 0,
    'aria-valuemax': stages.length - 1,
  });
  const strip = h('div', { className: 'strip' }, boxes, line);
  let at = first,
    dragging = false;
  const show = () => {
    boxes.forEach((box, i) => {
      box.classList.toggle('frozen', i < at);
      box.lastChild.textContent = i < at ? 'frozen' : 'trains';
    });
    line.style.left = `${(100 * at) / stages.length}%`;
    line.setAttribute('aria-valuenow', at);
    line.setAttribute('aria-valuetext', at ? `frozen before ${stages[at]}` : 'nothing is frozen');
  };
  const to = (next) => {
    next = Math.max(0, Math.min(stages.length - 1, next));
    if (next === at) return;
    at = next;
    show();
    move(at);
  };
  const follow = (event) => {
    const { left, width } = strip.getBoundingClientRect();
    to(Math.round((stages.length * (event.clientX - left)) / width));
  };
  strip.addEventListener('pointerdown', (event) => {
    dragging = true;
    strip.setPointerCapture(event.pointerId);
    follow(event);
    line.focus({ preventScroll: true });
    event.preventDefault();
  });
  strip.addEventListener('pointermove', (event) => {
    if (dragging) follow(event);
  });
  for (const name of ['pointerup', 'pointercancel'])
    strip.addEventListener(name, () => {
      dragging = false;
    });
  line.addEventListener('keydown', (event) => {
    const next = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      Home: 0,
      End: stages.length - 1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    to(next);
  });
  show();
  return { node: strip };
}

/** A row for each stage: its kernels forward, then backward. Arrow keys go from bar to bar. */
function drawBars(box, plan, stages) {
  const most = Math.max(...plan.dispatches.map(({ macs }) => macs));
  const focused = [...box.querySelectorAll('button')].indexOf(document.activeElement);
  const rows = new Map([...stages, 'other'].map((stage) => [stage, { forward: [], backward: [] }]));
  for (const one of plan.dispatches) {
    const row = rows.get(one.stage) ?? rows.get('other');
    const words = `${one.kernel}, ${one.layer || 'all layers'}: ${(one.macs / 1e6).toFixed(2)} million multiply-accumulates, ${one.present ? 'dispatched' : 'not dispatched'}`;
    const bar = button('', () => open(one.kernel), {
      title: words,
      'aria-label': words,
      tabIndex: -1,
      className: `bar ${kind(one)}${one.present ? '' : ' absent'}`,
    });
    bar.style.width = `${8 + 34 * Math.sqrt(one.macs / most)}px`;
    row[one.phase === 'forward' ? 'forward' : 'backward'].push(bar);
  }
  box.replaceChildren(
    ...[...rows]
      .filter(([, { forward, backward }]) => forward.length + backward.length)
      .map(([stage, { forward, backward }]) => {
        const gone = backward.concat(forward).filter((bar) => bar.classList.contains('absent')).length;
        return h(
          'div',
          { className: 'bars-of', role: 'group', 'aria-label': `Kernels of ${stage}` },
          h(
            'span',
            {},
            stage === 'other' ? 'loss, update' : stage,
            h('small', {}, gone ? `${gone} skipped` : ''),
          ),
          h('div', {}, forward),
          h('div', {}, backward),
        );
      }),
  );
  const all = [...box.querySelectorAll('button')];
  const current = all[focused] ?? all[0];
  current.tabIndex = 0;
  if (focused >= 0) current.focus();
  box.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    const from = all.indexOf(document.activeElement),
      next = all[from + step];
    if (from < 0 || !next) return;
    event.preventDefault();
    [all[from].tabIndex, next.tabIndex] = [-1, 0];
    next.focus();
  };
}
