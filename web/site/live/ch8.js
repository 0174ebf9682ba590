// Chapter 8: one base computes features; each task is a head on them. A task adds only a few kilobytes.

import { Part, button, bytes, h, milliseconds, percent, shown } from './common.js';

const TASKS = [
  ['fashion', 'four kinds of clothes'],
  ['digits', 'ten digits'],
];
const TRAIN = 200,
  TEST = 200;

export async function begin(place) {
  const part = new Part(place),
    body = h('tbody'),
    asked = h('div', { className: 'answer', role: 'status' });
  const heads = [];
  const fit = button('Fit a head for each task', () => part.attempt(train), { className: 'primary' });
  const next = button('Classify one image with both heads', () => part.attempt(ask), { disabled: true });
  place.append(
    h('div', { className: 'row' }, fit, next),
    part.status,
    part.trouble,
    h(
      'div',
      { className: 'scroll', tabIndex: 0, hidden: true, role: 'region', 'aria-label': 'Tasks on one base' },
      h(
        'table',
        { className: 'costs' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ['task', 'images', 'test accuracy', 'features', 'head', 'bytes of the head'].map((words) =>
              h('th', { scope: 'col' }, words),
            ),
          ),
        ),
        body,
      ),
    ),
    asked,
  );

  part.onLost = () => {
    heads.length = 0;
    next.disabled = true;
  };

  async function train() {
    const engine = await part.engine(),
      { ledger } = await engine.plan({ network: 'fashion', freezeBelow: 'fc', batch: 1, classes: 4 });
    heads.length = 0;
    body.closest('.scroll').hidden = false;
    body.replaceChildren(
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, 'the base, for all tasks'),
        h('td', {}, '–'),
        h('td', {}, '–'),
        h('td', {}, '–'),
        h('td', {}, '–'),
        h('td', {}, bytes(ledger.parameterBytes)),
      ),
    );
    for (const [name, words] of TASKS) {
      part.say(`Features of ${words}.`);
      const data = await engine.data(name);
      const some = async (set, count) => {
        const chosen = spread(set.count, count),
          features = await engine.features(
            chosen.map((i) => image(data, set, i)),
            { network: 'fashion', stage: 'avgpool' },
          );
        return { features, labels: chosen.map((i) => set.labels[i]) };
      };
      const learnt = await some(data.pool, TRAIN),
        test = await some(data.test, TEST);
      const probe = await engine.probe({ ...learnt, classes: data.classes, test });
      heads.push({ words, probe, data });
      body.append(
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, words),
          h('td', {}, learnt.labels.length),
          h('td', {}, percent(probe.testAccuracy)),
          h('td', {}, milliseconds(learnt.features.milliseconds)),
          h('td', {}, milliseconds(probe.milliseconds)),
          h('td', {}, bytes(4 * data.classes.length * (learnt.features.width + 1))),
        ),
      );
    }
    part.say('Both heads are ready.');
    next.disabled = false;
  }
  async function ask() {
    const engine = await part.engine(),
      { data } = heads[Math.floor(Math.random() * heads.length)];
    const picture = image(data, data.test, Math.floor(Math.random() * data.test.count)),
      answers = [];
    for (const { words, probe } of heads) {
      const found = await engine.predict(picture, { network: 'fashion', probe: probe.id });
      answers.push(
        h('p', {}, `The head for ${words}: ${found.class}, ${percent(found.probabilities[found.label])}.`),
      );
    }
    asked.replaceChildren(shown(picture, 'A test image'), h('div', {}, answers));
  }
}

const image = ({ side, channels }, { pixels }, i) => ({
  width: side,
  height: side,
  channels,
  pixels: pixels.slice(i * side * side * channels, (i + 1) * side * side * channels),
});

/** `count` of the numbers below `all`, evenly spread. */
const spread = (all, count) =>
  Array.from({ length: Math.min(all, count) }, (_, i) => Math.floor((i * all) / Math.min(all, count)));
