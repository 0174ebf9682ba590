// Chapter 1: the maps that each stage computes from a photo, and the pixels that affect a channel.

import { get, set } from '../state.js';
import { Part, button, h, milliseconds, picture, shown } from './common.js';
import { chooser } from './photos.js';

const MAPS = 48; // Channels of a stage that are drawn.

export async function begin(place) {
  const part = new Part(place);
  const input = h('div', { className: 'input' }),
    maps = h('div', { className: 'maps' }),
    words = h('p', { className: 'now' });
  const tabs = h('div', { className: 'choices', role: 'group', 'aria-label': 'Stage' });
  const excited = h('div', { className: 'input' });
  let found = null,
    blob = null,
    stage = get('stage') ?? 'layer1';
  const { node } = chooser(look, (error) => part.fail(error));
  place.append(
    node,
    part.status,
    part.trouble,
    input,
    tabs,
    words,
    maps,
    excited,
    h(
      'p',
      { className: 'soft' },
      'Each map has its own scale: white is its largest value, black its smallest. The network for photos is a ResNet-10 on 96×96 pixels. Choose a map to see which pixels affect its channel.',
    ),
  );

  async function look(photo) {
    blob = photo.blob;
    await part.attempt(async () => {
      const engine = await part.engine();
      found = await engine.activations(blob, { network: 'photos' });
      part.say(`The photo went through the network in ${milliseconds(found.milliseconds)}.`);
      input.replaceChildren(shown(found.input, 'The photo as input of the network'));
      excited.replaceChildren();
      tabs.replaceChildren(
        ...found.stages
          .filter(({ height }) => height > 1)
          .map(({ name }) => button(name, () => show(name), { 'aria-pressed': 'false' })),
      );
      show(
        found.stages.some(({ name, height }) => name === stage && height > 1) ? stage : found.stages[0].name,
      );
    });
  }

  function show(name) {
    stage = name;
    set({ stage: name === 'layer1' ? null : name });
    for (const tab of tabs.children) tab.setAttribute('aria-pressed', tab.textContent === name);
    const { channels, height, width, values } = found.stages.find((one) => one.name === name);
    words.textContent = `${name}: ${channels} channels of ${height}×${width}${channels > MAPS ? `, the first ${MAPS} drawn` : ''}.`;
    maps.replaceChildren(
      ...Array.from({ length: Math.min(channels, MAPS) }, (_, channel) => {
        const map = values.subarray(channel * height * width, (channel + 1) * height * width);
        const [low, high] = range(map);
        const grey = (i) => {
          const value = high > low ? (255 * (map[i] - low)) / (high - low) : 0;
          return [value, value, value];
        };
        const one = button('', () => excite(channel), {
          'aria-label': `Channel ${channel} of ${name}`,
          className: 'map',
        });
        one.append(picture(width, height, grey, `Channel ${channel}`));
        return one;
      }),
    );
  }

  async function excite(channel) {
    await part.attempt(async () => {
      const engine = await part.engine();
      const { width, height, channels, values, at } = await engine.excite(blob, {
        network: 'photos',
        stage,
        channel,
      });
      const most = Math.max(...values.map(Math.abs), 1e-12);
      const pixel = (i) =>
        [0, 1, 2].map((c) => 128 + (127 * values[channels * i + Math.min(c, channels - 1)]) / most);
      excited.replaceChildren(
        h(
          'figure',
          {},
          picture(width, height, pixel, `Pixels that affect channel ${channel} of ${stage}`),
          h(
            'figcaption',
            {},
            `The gradient of channel ${channel} of ${stage}, at its largest value (row ${at.y}, column ${at.x}), with respect to the pixels. Grey means no influence.`,
          ),
        ),
      );
      excited.scrollIntoView({ block: 'nearest' });
    });
  }
}

function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
