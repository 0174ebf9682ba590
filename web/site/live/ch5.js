// Chapter 5: a base rate and a factor from stage to stage; how far each stage moves while the network trains.

import { among, set } from '../state.js';
import { Part, Single, button, chart, choice, h, milliseconds, percent, slider } from './common.js';

const STAGES = ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'fc'];
const BASES = [0.003, 0.01, 0.03, 0.1, 0.3],
  FACTORS = [1, 0.5, 0.3, 0.1];

export async function begin(place) {
  const part = new Part(place),
    curve = chart(),
    body = h('tbody'),
    said = h('p', { className: 'now' });
  const chosen = {
    base: BASES.indexOf(among('base', BASES, 0.03)),
    factor: FACTORS.indexOf(among('factor', FACTORS, 1)),
    data: 'fashion',
  };
  let began = '', // The rates at the start of the run, in words.
    updates = [],
    series = [];
  const go = button('Train', () => (single.run ? single.stop() : start()), {
    className: 'primary',
  });
  const single = new Single(part, go);
  const table = h(
    'table',
    { className: 'bars' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'stage'),
        h('th', { scope: 'col' }, 'rate'),
        h('th', { scope: 'col' }, 'moved'),
        h('th', { scope: 'col' }, h('span', { className: 'hidden' }, 'moved, as a bar')),
      ),
    ),
    body,
  );
  place.append(
    h(
      'div',
      { className: 'row' },
      slider(
        'Base rate',
        { low: 0, high: BASES.length - 1, value: chosen.base, show: (i) => String(BASES[i]) },
        (base) => change({ base }),
      ),
      choice(
        'From stage to stage',
        FACTORS.map((factor, i) => [i, factor === 1 ? 'one rate' : `× ${factor}`]),
        chosen.factor,
        (factor) => change({ factor: Number(factor) }),
      ),
      choice(
        'Task',
        [
          ['fashion', 'other clothes'],
          ['digits', 'digits'],
        ],
        'fashion',
        (data) => change({ data }),
      ),
      go,
    ),
    part.status,
    part.trouble,
    table,
    h(
      'p',
      { className: 'soft' },
      'Moved: the length of a stage’s change over the length of its weights at the start.',
    ),
    said,
    curve.box,
  );
  show();

  function rates() {
    return Object.fromEntries(
      STAGES.map((stage, i) => [
        stage,
        Number((BASES[chosen.base] * FACTORS[chosen.factor] ** (STAGES.length - 1 - i)).toPrecision(3)),
      ]),
    );
  }
  const words = () =>
    `${BASES[chosen.base]}${chosen.factor ? ` × ${FACTORS[chosen.factor]} a stage` : ', one rate'}`;
  /** Sends the present rates to the run, and names its curve after them. */
  function follow() {
    series.at(-1).name = `${began}, then ${words()}`;
    part.attempt(() => single.run.setRate(rates()));
  }
  function change(values) {
    Object.assign(chosen, values);
    set({
      base: BASES[chosen.base] === 0.03 ? null : BASES[chosen.base],
      factor: chosen.factor ? FACTORS[chosen.factor] : null,
    });
    updates = single.run ? updates : [];
    if (single.run && !values.data) follow();
    show();
  }
  function show() {
    const all = rates(),
      most = Math.max(...updates.map(({ relative }) => relative), 1e-9);
    body.replaceChildren(
      ...STAGES.map((stage) => {
        const found = updates.find((one) => one.stage === stage),
          fill = h('div');
        fill.style.width = found ? `${(100 * found.relative) / most}%` : '0';
        return h(
          'tr',
          {},
          h('th', { scope: 'row' }, stage),
          h('td', {}, all[stage]),
          h('td', {}, found ? percent(found.relative) : '–'),
          h('td', { className: 'bar plain', 'aria-hidden': 'true' }, fill),
        );
      }),
    );
    curve.draw({
      title: 'Accuracy on held-out images',
      x: 'step',
      y: '%',
      low: 0,
      high: 100,
      wide: 120,
      series,
    });
  }
  async function start() {
    began = words();
    const mine = { name: began, color: series.length % 6, line: true, points: [] };
    series = [...series.slice(-3), mine];
    updates = [];
    const end = await single.train(
      {
        data: chosen.data,
        network: 'fashion',
        start: 'pretrained',
        freezeBelow: 'stem',
        rate: rates(),
        perClass: 25,
        batch: 16,
        steps: 120,
        readEvery: 5,
        evaluateEvery: 10,
        evaluateOn: 200,
      },
      (event) => {
        if (event.type === 'step' && !go.disabled)
          part.say(`Training: step ${event.step} of 120, ${milliseconds(event.milliseconds)} a step.`);
        if (event.type !== 'accuracy') return;
        mine.points.push({ x: event.step, y: 100 * event.accuracy });
        updates = event.updates ?? [];
        said.textContent = `Step ${event.step}: ${percent(event.accuracy)} of the held-out images.`;
        show();
      },
      () => {
        if (words() !== began) follow(); // The rates were changed during compilation.
      },
    );
    if (end === undefined) return;
    go.textContent = 'Train another';
    part.say('The run has ended.');
  }
}
