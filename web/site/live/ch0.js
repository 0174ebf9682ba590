// Chapter 0: two networks learn the same images, one from random weights and one from pretrained ones.

import { among, set } from '../state.js';
import { Part, button, chart, choice, h, milliseconds, percent } from './common.js';

const COUNTS = [3, 12, 25, 50],
  SEEDS = [0, 1, 2, 3, 4];
const SIDES = [
  ['scratch', 'from scratch', 0],
  ['pretrained', 'pretrained', 1],
];

export async function begin(place) {
  const part = new Part(place);
  const picture = chart(),
    losses = chart();
  const chosen = { perClass: among('perclass', COUNTS, 12), seed: among('seed', SEEDS, 0) };
  let runs = [],
    tracks = {},
    time = {};
  const go = button('Start the race', () => (runs.length ? stop() : start()), { className: 'primary' });
  const said = h('p', { className: 'now' });
  place.append(
    h(
      'div',
      { className: 'row' },
      choice(
        'Images of each class',
        COUNTS.map((n) => [n, n]),
        chosen.perClass,
        (n) => change({ perClass: Number(n) }),
      ),
      choice(
        'Seed',
        SEEDS.map((n) => [n, n]),
        chosen.seed,
        (n) => change({ seed: Number(n) }),
      ),
      go,
    ),
    part.status,
    part.trouble,
    said,
    picture.box,
    losses.box,
    h(
      'p',
      { className: 'soft' },
      'Both take the same number of steps on the same images. The network from scratch trains all layers at a rate of 0.05, the pretrained one layer4 and the head at 0.02, as in the chapter’s runs. One race is one seed: the intervals are in the published results.',
    ),
  );
  reset();

  function reset() {
    tracks = Object.fromEntries(SIDES.map(([start]) => [start, { accuracy: [], loss: [] }]));
    time = {};
    paint();
  }
  function change(values) {
    Object.assign(chosen, values);
    set({ perclass: chosen.perClass === 12 ? null : chosen.perClass, seed: chosen.seed || null });
  }
  function paint() {
    const series = (name) =>
      SIDES.map(([start, words, color]) => ({ name: words, color, line: true, points: tracks[start][name] }));
    picture.draw({
      title: 'Accuracy on held-out images',
      x: 'step',
      y: '%',
      low: 0,
      high: 100,
      wide: 150,
      series: series('accuracy'),
    });
    losses.draw({ title: 'Training loss', x: 'step', y: 'loss', low: 0, wide: 150, series: series('loss') });
    const last = SIDES.map(([start, words]) => [words, tracks[start].accuracy.at(-1)]).filter(
      ([, point]) => point,
    );
    said.textContent =
      last.map(([words, { x, y }]) => `${words}: ${y.toFixed(1)} % after ${x} steps`).join('; ') +
      (time.step ? `; ${milliseconds(time.step)} a step.` : '');
  }
  async function start() {
    reset();
    go.disabled = true;
    const ready = await part.attempt(async () => {
      for (const [start, words] of SIDES) {
        const track = tracks[start];
        const run = await part.train(
          {
            data: 'fashion',
            network: 'fashion',
            start,
            freezeBelow: start === 'scratch' ? 'stem' : 'layer4',
            rate: start === 'scratch' ? 0.05 : 0.02,
            perClass: chosen.perClass,
            batch: 16,
            steps: 150,
            seed: chosen.seed,
            readEvery: 5,
            evaluateEvery: 15,
            evaluateOn: 200,
          },
          (event) => {
            if (event.type === 'step') {
              track.loss.push({
                x: event.step,
                y: event.losses.reduce((sum, one) => sum + one.loss, 0) / event.losses.length,
              });
              time.step = event.milliseconds;
              part.say('Both train, in turns.');
            }
            if (event.type === 'accuracy')
              track.accuracy.push({
                x: event.step,
                y: 100 * event.accuracy,
                title: `${words}, step ${event.step}: ${percent(event.accuracy)}`,
              });
            paint();
          },
        );
        // It waits at the line until the other one is compiled.
        runs.push(run);
        run.held = true;
        await run.pause();
      }
      part.say('Measuring the accuracy before the first step …');
      for (const run of runs) {
        run.held = false;
        if (!document.hidden) await run.resume();
      }
      return true;
    });
    go.disabled = false;
    if (!ready) {
      for (const run of runs) run.close().catch(() => {});
      runs = [];
      return;
    }
    go.textContent = 'Stop';
    const mine = runs;
    Promise.allSettled(mine.map((run) => run.finished)).then((ends) => {
      if (runs !== mine) return;
      if (ends.every(({ value }) => value?.reason === 'steps')) part.say('Both have reached the end.');
      for (const run of mine) run.close?.().catch(() => {});
      runs = [];
      go.textContent = 'Start another race';
    });
  }
  async function stop() {
    await part.attempt(() => Promise.all(runs.map((run) => run.stop())));
    part.say('Stopped.');
  }
}
