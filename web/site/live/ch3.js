// Chapter 3: what trains and at which rate, with the accuracy on the old classes beside that on the new ones.

import { among, set } from '../state.js';
import { Part, Single, button, chart, choice, h, milliseconds, slider } from './common.js';

const APPROACHES = [
  ['fc', 'head only'],
  ['layer4', 'partial'],
  ['stem', 'full'],
];
const RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3];

export async function begin(place) {
  const part = new Part(place),
    curve = chart(),
    said = h('p', { className: 'now' });
  const chosen = {
    freeze: among(
      'freeze',
      APPROACHES.map(([stage]) => stage),
      'stem',
    ),
    rate: RATES.indexOf(among('rate', RATES, 0.03)),
  };
  let series = [],
    live = [], // The curves of the current run, which are not removed.
    count = 0;
  const go = button('Train', () => (single.run ? single.stop() : start()), {
    className: 'primary',
  });
  const single = new Single(part, go);
  const clear = button('Remove the curves', () => {
    series = live;
    paint();
  });
  place.append(
    h(
      'div',
      { className: 'row' },
      choice('What trains', APPROACHES, chosen.freeze, (freeze) => change({ freeze })),
      slider(
        'Learning rate',
        { low: 0, high: RATES.length - 1, value: chosen.rate, show: (i) => String(RATES[i]) },
        (rate) => change({ rate }),
      ),
      go,
      clear,
    ),
    part.status,
    part.trouble,
    said,
    curve.box,
    h(
      'p',
      { className: 'soft' },
      'Solid: the four new kinds of clothes. With squares: the six old kinds, with the old head on the present body. Try 0.3 on the full network.',
    ),
  );
  paint();

  function change(values) {
    Object.assign(chosen, values);
    set({
      freeze: chosen.freeze === 'stem' ? null : chosen.freeze,
      rate: RATES[chosen.rate] === 0.03 ? null : RATES[chosen.rate],
    });
  }
  function paint() {
    curve.draw({
      title: 'New and old classes',
      x: 'step',
      y: 'accuracy, %',
      low: 0,
      high: 100,
      wide: 120,
      series,
    });
  }
  async function start() {
    const rate = RATES[chosen.rate],
      name = `${APPROACHES.find(([stage]) => stage === chosen.freeze)[1]} at ${rate}`;
    const color = count++ % 3;
    const fresh = { name: `${name}, new`, color: 2 * color, line: true, points: [] },
      old = { name: `${name}, old`, color: 2 * color + 1, line: true, square: true, points: [] };
    live = [fresh, old];
    series = [...series.slice(-4), ...live];
    const end = await single.train(
      {
        data: 'fashion',
        network: 'fashion',
        start: 'pretrained',
        freezeBelow: chosen.freeze,
        rate,
        perClass: 50,
        batch: 16,
        steps: 120,
        readEvery: 5,
        evaluateEvery: 10,
        evaluateOn: 200,
        old: true,
      },
      (event) => {
        if (event.type === 'step' && !go.disabled)
          part.say(`Training ${name}: step ${event.step}, ${milliseconds(event.milliseconds)} a step.`);
        if (event.type !== 'accuracy') return;
        fresh.points.push({ x: event.step, y: 100 * event.accuracy });
        if (event.old !== null) old.points.push({ x: event.step, y: 100 * event.old });
        said.textContent = `${name}, step ${event.step}: new classes ${(100 * event.accuracy).toFixed(1)} %${event.old === null ? '' : `, old classes ${(100 * event.old).toFixed(1)} %`}.`;
        paint();
      },
    );
    live = [];
    if (end === undefined) return;
    go.textContent = 'Train another';
    part.say('The run has ended.');
  }
}
