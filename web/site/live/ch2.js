// Chapter 2: photos go through the frozen network once; a head is fitted to their features; a new photo is
// shown stage by stage.

import { Part, button, h, milliseconds, percent, picture, shown } from './common.js';
import { drop, examples, small } from './photos.js';

const EACH = 8,
  AT_ONCE = 16;

export async function begin(place) {
  const part = new Part(place);
  const way = h('div', { className: 'way' }),
    answer = h('div', { className: 'answer', role: 'status' }),
    fitted = h('div');
  let probe = null,
    rest = [],
    fitting = ''; // The status line's text about the head, also between predictions.
  const say = (words) => part.say((fitting = words));
  const fit = button(
    'Compute features and fit a head',
    async () => {
      fit.disabled = true;
      say((await part.attempt(train)) ?? '');
      fit.disabled = false;
    },
    { className: 'primary' },
  );
  const next = button(
    'New image',
    () => {
      const { blob, name } = rest[Math.floor(Math.random() * rest.length)];
      look(blob, name);
    },
    { disabled: true },
  );
  place.append(
    h('div', { className: 'row' }, fit, next),
    part.status,
    part.trouble,
    fitted,
    drop('Try a photo of your own', ([file]) => file && look(() => file), false),
    way,
    answer,
  );

  part.onLost = () => {
    probe = null;
    fitting = '';
  };

  async function look(photo, name) {
    part.say('Looking …');
    await part.attempt(async () => ask(await small(await photo()), name));
    part.say(fitting);
  }

  async function train() {
    const found = await examples(),
      names = Object.keys(found);
    const blob = async (file) => (await fetch(file)).blob();
    rest = names.flatMap((name) => found[name].slice(EACH).map((file) => ({ name, blob: () => blob(file) })));
    const files = names.flatMap((name, label) => found[name].slice(0, EACH).map((file) => ({ file, label })));
    const engine = await part.engine(),
      start = performance.now();
    let values = [],
      width = 0;
    for (let at = 0; at < files.length; at += AT_ONCE) {
      say(`Features: photo ${at + 1} of ${files.length}.`);
      const some = await Promise.all(files.slice(at, at + AT_ONCE).map(({ file }) => blob(file)));
      const features = await engine.features(some, { network: 'photos', stage: 'avgpool' });
      width = features.width;
      values.push(features.values);
    }
    const time = performance.now() - start,
      all = new Float32Array(width * files.length);
    values.reduce((at, some) => {
      all.set(some, at);
      return at + some.length;
    }, 0);
    probe = await engine.probe({
      features: { width, rows: files.length, values: all },
      labels: files.map(({ label }) => label),
      classes: names,
    });
    fitted.replaceChildren(
      h(
        'p',
        {},
        `${files.length} photos became ${files.length} points with ${width} coordinates in ${milliseconds(time)}. The head was fitted to them in ${milliseconds(probe.milliseconds)}` +
          (probe.crossValidated == null
            ? '.'
            : `; on held-out fifths it recognised ${percent(probe.crossValidated)}.`),
      ),
    );
    next.disabled = false;
    return 'The head is ready.';
  }

  async function ask({ blob }, truth) {
    const engine = await part.engine();
    const inside = await engine.activations(blob, { network: 'photos' });
    const steps = inside.stages
      .filter(({ name }) => name !== 'fc')
      .map(({ name, channels, height, width, values }) => {
        if (height * width === 1)
          return h(
            'figure',
            {},
            vector(values, `The ${channels} features`),
            h('figcaption', {}, `${name}: ${channels} features`),
          );
        const mean = new Float32Array(height * width);
        for (let i = 0; i < values.length; i++) mean[i % mean.length] += values[i] / channels;
        const [low, high] = [Math.min(...mean), Math.max(...mean)];
        const grey = (i) => {
          const value = (255 * (mean[i] - low)) / (high - low || 1);
          return [value, value, value];
        };
        return h(
          'figure',
          {},
          picture(width, height, grey, `Mean of the maps of ${name}`),
          h('figcaption', {}, `${name}: ${channels} maps of ${height}×${width}; their mean`),
        );
      });
    way.replaceChildren(
      h(
        'figure',
        {},
        shown(inside.input, 'The photo as input of the network'),
        h('figcaption', {}, 'pixels'),
      ),
      ...steps,
    );
    if (!probe) {
      answer.textContent = 'Fit a head first: it maps the features to classes.';
      return;
    }
    const found = await engine.predict(blob, { network: 'photos', probe: probe.id });
    const order = [...found.probabilities.keys()]
      .sort((a, b) => found.probabilities[b] - found.probabilities[a])
      .slice(0, 3);
    answer.textContent = `Prediction of the head: ${order.map((i) => `${found.classes[i]} ${percent(found.probabilities[i])}`).join(', ')}.${truth ? ` True class: ${truth}.` : ''} ${milliseconds(found.milliseconds)}.`;
  }
}

/** Features as a row of stripes. */
function vector(values, words) {
  const most = Math.max(...values, 1e-9);
  return picture(
    values.length,
    1,
    (i) => {
      const value = (255 * Math.max(0, values[i])) / most;
      return [value, value, value];
    },
    words,
  );
}
