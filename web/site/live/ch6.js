// Chapter 6: variants of a photo by the kernel that training uses; a 6 that is turned upside down;
// predictions for images that were not normalised.

import { Part, button, choice, h, percent, shown } from './common.js';
import { chooser } from './photos.js';

const KINDS = {
  all: [
    'all together',
    {
      crop: [0.35, 1],
      horizontalFlip: 0.5,
      degrees: 10,
      brightness: 0.3,
      contrast: 0.3,
      saturation: 0.3,
      hue: 0.05,
    },
  ],
  crop: ['crop', { crop: [0.35, 1] }],
  flip: ['horizontal flip', { horizontalFlip: 0.5 }],
  turn: ['rotation to 30°', { degrees: 30 }],
  colour: ['colours', { brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.1 }],
  shift: ['shift', { translate: 0.25 }],
};
const VARIANTS = 8;

export async function begin(place) {
  const part = new Part(place),
    variants = h('div', { className: 'variants' });
  let photo = null,
    kind = 'all',
    seed = 0;
  const again = button('New variants', () => make(), { disabled: true });
  const { node } = chooser(
    (taken) => {
      photo = taken;
      again.disabled = false;
      make();
    },
    (error) => part.fail(error),
  );
  const digits = h('div', { className: 'variants' }),
    clothes = h('div');
  place.append(
    node,
    h(
      'div',
      { className: 'row' },
      choice(
        'Transform',
        Object.entries(KINDS).map(([key, [words]]) => [key, words]),
        kind,
        (value) => {
          kind = value;
          if (photo) make();
        },
      ),
      again,
    ),
    part.status,
    part.trouble,
    variants,
    h('h3', {}, 'A label that breaks'),
    h('p', {}, 'Each 6 is turned by 180°. Its label stays 6.'),
    button('Turn some digits', () => part.attempt(turn)),
    digits,
    h('h3', {}, 'Normalisation forgotten'),
    h(
      'p',
      {},
      'The network for clothes predicts the classes of test images twice: with normalisation, and from pixels that were not normalised.',
    ),
    button('Compare', () => part.attempt(forget)),
    clothes,
  );

  function make() {
    return part.attempt(async () => {
      const engine = await part.engine();
      const made = [];
      for (let i = 0; i < VARIANTS; i++)
        made.push(await engine.augment(photo.blob, seed++, { size: 96, ...KINDS[kind][1] }));
      variants.replaceChildren(...made.map((image, i) => shown(image, `Variant ${i + 1}`)));
      part.say(`${VARIANTS} variants, made by augment.forward on ${engine.adapter}.`);
    });
  }
  async function turn() {
    const engine = await part.engine(),
      { side, pool } = await engine.data('digits');
    const six = [...pool.labels.keys()].filter((i) => pool.labels[i] === 6),
      rows = [];
    for (const i of six.sort(() => Math.random() - 0.5).slice(0, 6)) {
      const pixels = pool.pixels.slice(i * side * side, (i + 1) * side * side);
      const over = pixels.slice().reverse(); // Both axes turned over: a rotation by 180°.
      rows.push(
        h(
          'figure',
          {},
          shown({ width: side, height: side, channels: 1, pixels }, 'A six'),
          shown({ width: side, height: side, channels: 1, pixels: over }, 'The same, upside down'),
          h('figcaption', {}, 'both “6”'),
        ),
      );
    }
    digits.replaceChildren(...rows);
  }
  async function forget() {
    const engine = await part.engine(),
      { side, classes, test } = await engine.data('fashion-source');
    const right = [0, 0],
      count = Math.min(40, test.count),
      example = [];
    for (let n = 0; n < count; n++) {
      const i = Math.floor((n * test.count) / count);
      const image = {
        width: side,
        height: side,
        channels: 1,
        pixels: test.pixels.slice(i * side * side, (i + 1) * side * side),
      };
      for (const [k, normalise] of [true, false].entries()) {
        const found = await engine.predict(image, { network: 'fashion', normalise });
        right[k] += Number(found.label === test.labels[i]);
        if (n === 0) example.push(`${classes[found.label]} ${percent(found.probabilities[found.label])}`);
      }
      if (n % 5 === 0) part.say(`Image ${n + 1} of ${count}.`);
    }
    part.say('Compared.');
    clothes.replaceChildren(
      h(
        'p',
        {},
        `${count} test images of six kinds: ${percent(right[0] / count)} right with normalisation, ${percent(right[1] / count)} without. The first is ${classes[test.labels[0]]}; the answers were ${example.join(' and ')}.`,
      ),
    );
  }
}
