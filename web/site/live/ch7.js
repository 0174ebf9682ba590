// Chapter 7: each run is a point of accuracy against cost. Points survive a reload.

import { Part, Single, button, chart, choice, h, milliseconds } from './common.js';
import { recall, remember } from './store.js';

const DEPTHS = [
  ['fc', 'head only'],
  ['layer4', 'layer4 on'],
  ['layer3', 'layer3 on'],
  ['layer2', 'layer2 on'],
  ['layer1', 'layer1 on'],
  ['stem', 'everything'],
];
const KEPT = 'sweet-spot'; // In localStorage.
const STEPS = 80;

export async function begin(place) {
  const part = new Part(place),
    scatter = chart();
  const chosen = { data: 'fashion', freeze: 'layer4', perClass: 50 };
  let points = kept(),
    sweep = [];
  const go = button('Train', () => (single.run ? stop() : one(chosen.freeze)), { className: 'primary' });
  const single = new Single(part, go);
  const all = button('Try every depth', async () => {
    sweep = DEPTHS.map(([stage]) => stage);
    while (sweep.length && (await one(sweep.shift())));
    sweep = [];
  });
  const clear = button('Remove the points', () => {
    points = [];
    keep();
    paint();
  });
  place.append(
    h(
      'div',
      { className: 'row' },
      choice(
        'Task',
        [
          ['fashion', 'other clothes (similar)'],
          ['digits', 'digits (different)'],
        ],
        'fashion',
        (data) => {
          chosen.data = data;
        },
      ),
      choice(
        'Images of each class',
        [10, 25, 50].map((n) => [n, n]),
        50,
        (n) => {
          chosen.perClass = Number(n);
        },
      ),
      choice('What trains', DEPTHS, 'layer4', (stage) => {
        chosen.freeze = stage;
      }),
      go,
      all,
      clear,
    ),
    part.status,
    part.trouble,
    scatter.box,
    h(
      'p',
      { className: 'soft' },
      `Each run has ${STEPS} steps of 16 images and one seed. The published figure has five seeds and shows which differences are more than chance.`,
    ),
  );
  paint();

  function kept() {
    try {
      return JSON.parse(recall(KEPT)) ?? [];
    } catch {
      return [];
    }
  }
  function keep() {
    remember(KEPT, JSON.stringify(points.slice(-60)));
  }
  function paint() {
    const series = ['fashion', 'digits'].map((data, color) => ({
      name: data === 'fashion' ? 'clothes' : 'digits',
      color,
      points: points
        .filter((point) => point.data === data)
        .map(({ macs, accuracy, freeze, perClass }) => ({
          x: Number(((macs * STEPS) / 1e9).toFixed(3)),
          y: 100 * accuracy,
          label: String(DEPTHS.findIndex(([stage]) => stage === freeze) + 1),
          title: `${DEPTHS.find(([stage]) => stage === freeze)?.[1]}, ${perClass} images of each class: ${(100 * accuracy).toFixed(1)} %`,
        })),
    }));
    scatter.draw({
      title: 'Accuracy against cost',
      x: 'billion multiply-accumulates of a run (the number: stages that train)',
      y: 'accuracy, %',
      high: 100,
      wide: points.length ? undefined : 50,
      series,
    });
  }
  async function stop() {
    sweep = [];
    await single.stop();
  }
  /** One run; returns whether it finished. */
  async function one(freeze) {
    const words = DEPTHS.find(([stage]) => stage === freeze)[1],
      { data, perClass } = chosen;
    let macs = 0;
    all.disabled = true;
    const end = await single.train(
      {
        data,
        network: 'fashion',
        start: 'pretrained',
        freezeBelow: freeze,
        rate: freeze === 'fc' ? 0.1 : 0.02,
        perClass,
        batch: 16,
        steps: STEPS,
        readEvery: 5,
        evaluateEvery: STEPS,
        evaluateOn: 200,
      },
      (event) => {
        if (event.type === 'plan') macs = event.plan.ledger.macs;
        if (event.type === 'step' && !go.disabled)
          part.say(
            `${words}: step ${event.step} of ${STEPS}, ${milliseconds(event.milliseconds)} a step.`,
          );
      },
    );
    all.disabled = false;
    if (end === undefined) return false;
    go.textContent = 'Train';
    if (end?.reason !== 'steps' || end.accuracy == null) {
      part.say('Stopped.');
      return false;
    }
    points.push({ data, freeze, perClass, macs, accuracy: end.accuracy });
    keep();
    paint();
    part.say(
      `${words}: ${(100 * end.accuracy).toFixed(1)} % for ${((macs * STEPS) / 1e9).toFixed(1)} billion multiply-accumulates.`,
    );
    return true;
  }
}
