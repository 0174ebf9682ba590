// Your photos: classes of the reader's own. A probe is fitted to the frozen network's features at once; after it,
// the last stages can be tuned. Photos and the tuned network are kept in this browser and survive a reload.

import { Part, button, bytes, chart, choice, h, milliseconds, percent } from './common.js';
import { MOST, camera, drop, examples, small } from './photos.js';
import * as store from './store.js';
import { recall, remember } from './store.js';

const NAMES = ['first', 'second', 'third'];
const EXAMPLES = ['fish', 'tool', 'windmill'],
  EACH = 8;
const STAGE = 'avgpool';
const AT_ONCE = 32; // Photos in one pass through the network.

const photos = (count) => `${count} ${count === 1 ? 'photo' : 'photos'}`;

export async function begin(place) {
  const part = new Part(place);
  const classes = NAMES.map((name, label) => makeClass(name, label));
  const asked = { blob: null, thumb: null };
  let probe = null,
    run = null,
    starting = false, // A run is being compiled.
    version = 0, // Of the photos and names: a run belongs to one.
    tuned = null, // A run that has ended, or the network of a checkpoint.
    kept = '', // What the network in this browser was tuned on: `photosOf`.
    settling = null;
  const reading = h('p', { className: 'now', role: 'status' });
  const refused = h('p', { className: 'refused', role: 'alert', hidden: true });
  const result = h('div', { 'aria-live': 'polite' });
  const answer = h('div', { className: 'answer', role: 'status' });
  const curve = chart(),
    curveless = h('p', { className: 'soft' });
  const live = camera(
    (photo) => ask(photo),
    (error) => part.fail(error),
    (open) => {
      if (open) look();
    },
  );
  const tune = button('Fine-tune the last stages', () => (run ? part.attempt(() => run.stop()) : start()), {
    disabled: true,
  });
  const depth = { value: 'layer4' };
  const take = h('div', {});
  const chosen = h('input', { type: 'file', accept: '.safetensors', hidden: true });
  chosen.onchange = () => {
    const [file] = chosen.files;
    if (file) part.attempt(() => open(file)).finally(() => (chosen.value = ''));
  };
  const download = (words, kind, make) =>
    button(words, () =>
      part.attempt(async () => {
        const file = await make();
        save(file, `frostline-photos.${kind}`);
        part.say(`The file has ${bytes(file.byteLength)}.`);
      }),
    );
  const sample = button('Use example photos', () =>
    part.attempt(async () => {
      const own = classes.some((one) => one.photos.some(({ from }) => !from));
      const question = 'The classes get the names of the examples, and your photos stay in them. Go on?';
      if (own && !confirm(question)) return;
      [sample.disabled, forget.disabled] = [true, true];
      try {
        const found = await examples();
        for (const [label, name] of EXAMPLES.entries()) {
          const one = classes[label],
            there = new Set(one.photos.map(({ from }) => from));
          if (one.name() !== name) one.rename(name);
          const missing = found[name].slice(0, EACH).filter((file) => !there.has(file));
          const files = await Promise.all(
            missing.map(async (from) => Object.assign(await (await fetch(from)).blob(), { from })),
          );
          if (files.length) await read(label, files);
        }
      } finally {
        [sample.disabled, forget.disabled] = [false, false];
      }
    }),
  );
  const forget = button('Remove all photos', async () => {
    if (run) part.attempt(() => run.stop());
    kept = '';
    await store.clear().catch(() => {});
    await store.keepTuned(null).catch(() => {});
    for (const one of classes) {
      one.photos = [];
      one.thumbs.replaceChildren();
      one.count();
    }
    changed();
  });
  place.append(
    h(
      'ol',
      { className: 'steps' },
      h(
        'li',
        {},
        h('h2', {}, 'Give each class some photos'),
        h('p', {}, 'Five of each are enough to begin. They are stored in this browser only.'),
        h('div', { className: 'row' }, sample, forget),
        h(
          'div',
          { className: 'classes' },
          classes.map(({ node }) => node),
        ),
        reading,
        refused,
      ),
      h('li', {}, h('h2', {}, 'A head is fitted at once'), part.status, part.trouble, result),
      h(
        'li',
        {},
        h('h2', {}, 'Ask about a new photo'),
        drop('Choose a photo', ([file]) => file && small(file).then(ask, (error) => part.fail(error)), false),
        live.node,
        answer,
      ),
      h(
        'li',
        {},
        h('h2', {}, 'Train more of the network'),
        h(
          'p',
          {},
          'The head uses features as they are. Fine-tuning changes the last stages as well. Whether that helps with few photos is the question of chapters 3 and 4.',
        ),
        h(
          'div',
          { className: 'row' },
          choice(
            'Train from',
            [
              ['layer4', 'layer4 on'],
              ['layer3', 'layer3 on'],
              ['fc', 'the head only'],
            ],
            'layer4',
            (stage) => {
              depth.value = stage;
              showTake();
            },
          ),
          tune,
        ),
        curve.box,
        curveless,
      ),
      h('li', {}, h('h2', {}, 'Take it with you'), take),
    ),
  );
  part.onLost = () => {
    [probe, tuned] = [null, null];
  };
  await restore();
  showTake();

  // ---- photos

  function makeClass(name, label) {
    const input = h('input', {
      type: 'text',
      value: recall(`class${label}`) ?? name,
      maxLength: 40,
      'aria-label': `Name of class ${label + 1}`,
    });
    const one = {
      photos: [],
      thumbs: h('div', { className: 'thumbs' }),
      said: h('span', { className: 'soft' }),
    };
    one.count = () => {
      one.said.textContent = photos(one.photos.length);
    };
    one.rename = (words) => {
      input.value = words;
      input.onchange();
    };
    one.name = () => input.value.trim() || NAMES[label];
    input.onchange = () => {
      remember(`class${label}`, input.value);
      changed();
    };
    const cam = button('From the camera', async () => {
      if (!live.open) {
        part.fail(new Error('Open the camera below first.'));
        return;
      }
      part.fail(null);
      await keep(label, await small(live.video));
      changed();
    });
    one.node = h(
      'section',
      { className: 'class', 'aria-label': `Class ${label + 1}` },
      h('div', { className: 'row' }, input, one.said),
      drop('Choose photos', (files) => part.attempt(() => read(label, files))),
      cam,
      one.thumbs,
    );
    one.count();
    return one;
  }

  /** Reads files of a class. A file that is not an image is named and left out; the others stay. */
  async function read(label, files) {
    const room = Math.max(0, MOST - classes.reduce((sum, one) => sum + one.photos.length, 0));
    const wrong = [];
    refused.hidden = true;
    let done = 0;
    for (const file of files.slice(0, room)) {
      try {
        await keep(label, { ...(await small(file)), from: file.from });
      } catch (error) {
        wrong.push(error.message);
      }
      done++;
      if (done % 5 === 0) reading.textContent = `Reading photos: ${done} of ${Math.min(files.length, room)}.`;
    }
    const left = files.length - room;
    if (left > 0)
      wrong.push(
        `${left} of ${files.length} photos were left out: the page keeps at most ${MOST}. The command below takes any number.`,
      );
    changed();
    // Not in the line of the head, which is fitted next and says how that went.
    refused.hidden = !wrong.length;
    refused.textContent =
      wrong.length > 4 ? `${wrong.slice(0, 3).join(' ')} And ${wrong.length - 3} more.` : wrong.join(' ');
  }

  async function keep(label, photo, key) {
    const one = classes[label];
    const kept = { ...photo, key: key ?? (await store.add(label, photo.blob, photo.from).catch(() => null)) };
    const away = button(
      '',
      async () => {
        one.photos.splice(one.photos.indexOf(kept), 1);
        away.remove();
        one.count();
        if (kept.key !== null) await store.remove(kept.key).catch(() => {});
        changed();
      },
      { className: 'pick', 'aria-label': `Remove this photo of ${one.name()}`, title: 'Remove' },
    );
    away.append(photo.thumb);
    one.thumbs.append(away);
    one.photos.push(kept);
    one.count();
  }

  async function restore() {
    const photosThere = await store.all().catch(() => []);
    kept = (await store.tuned().catch(() => null))?.of ?? '';
    for (const { key, label, blob, from } of photosThere) {
      if (classes[label])
        await small(blob)
          .then((photo) => keep(label, { ...photo, blob, from }, key))
          .catch(() => {});
    }
    if (photosThere.length) {
      changed();
      reading.textContent = `${photos(photosThere.length)} from your last visit.`;
    }
  }

  // ---- the probe

  const used = () =>
    classes.map((one, label) => ({ one, label })).filter(({ one }) => one.photos.length >= 2);

  /** The photos or names have changed: a head is fitted when they have settled. */
  function changed() {
    version++;
    const all = classes.reduce((sum, one) => sum + one.photos.length, 0);
    reading.textContent = `${photos(all)} in all.`;
    probe = null;
    replace(null);
    clearTimeout(settling);
    settling = setTimeout(() => part.attempt(fit), 400);
    showTake();
  }
  /** Another tuned network, or none; the memory of the last one is free again. */
  function replace(other) {
    tuned?.close().catch(() => {});
    tuned = other;
  }
  function allow() {
    tune.disabled = !run && (starting || used().length < 2);
  }

  let again = false,
    fitting = false;
  async function fit() {
    if (fitting) {
      again = true;
      return;
    }
    fitting = true;
    try {
      do {
        again = false;
        await fitNow();
      } while (again);
    } finally {
      fitting = false;
    }
  }
  async function fitNow() {
    const found = used();
    allow();
    probe = null;
    if (found.length < 2) {
      result.textContent = 'At least two classes with two photos each are needed.';
      return;
    }
    const engine = await part.engine();
    const rows = found.flatMap(({ one }, label) => one.photos.map((photo) => ({ photo, label })));
    const missing = rows.filter(({ photo }) => !photo.features).map(({ photo }) => photo);
    const start = performance.now();
    for (let at = 0; at < missing.length; at += AT_ONCE) {
      const some = missing.slice(at, at + AT_ONCE);
      part.say(`Computing features: photo ${at + 1} of ${missing.length}.`);
      const { width, values } = await engine.features(
        some.map(({ blob }) => blob),
        { network: 'photos', stage: STAGE },
      );
      some.forEach((photo, i) => {
        photo.features = values.slice(i * width, (i + 1) * width);
      });
    }
    const features = performance.now() - start,
      width = rows[0].photo.features.length;
    const values = new Float32Array(width * rows.length);
    rows.forEach(({ photo }, i) => values.set(photo.features, i * width));
    const names = found.map(({ one }) => one.name());
    probe = await engine.probe({
      features: { width, rows: rows.length, values },
      labels: rows.map(({ label }) => label),
      classes: names,
    });
    part.say('The head is ready: ask about a new photo.');
    const judged = probe.crossValidated ?? null;
    result.replaceChildren(
      ...doubts(names, rows).map((words) => h('p', { className: 'note' }, words)),
      h(
        'p',
        {},
        judged === null
          ? 'There are too few photos to judge the head.'
          : `Each fifth of the photos was recognised by a head that was fitted to the others: ${percent(judged)} right, of ${rows.length}.`,
      ),
      h(
        'p',
        { className: 'soft' },
        `Features of ${missing.length} new ${missing.length === 1 ? 'photo' : 'photos'} in ${milliseconds(features)}; head in ${milliseconds(probe.milliseconds)}.`,
      ),
    );
    await retrieve();
    if (asked.blob) await answerNow();
  }

  /** The photos and names that a network is tuned on; empty if they are not kept. */
  function photosOf() {
    const rows = used().map(({ one }) => [one.name(), one.photos.map(({ key }) => key)]);
    return rows.some(([, keys]) => keys.includes(null)) ? '' : JSON.stringify(rows);
  }
  /** The network that was tuned on these photos on the last visit, or before the device was lost. */
  async function retrieve() {
    const there = () => !tuned && kept && kept === photosOf();
    if (!there()) return;
    const found = await store.tuned();
    if (!found) return;
    const engine = await part.engine();
    const network = await engine.load(found.checkpoint).catch((error) => {
      kept = ''; // It is not tried again with every photo.
      throw error;
    });
    if (!there()) {
      network.close().catch(() => {});
      return;
    }
    replace(network);
    part.say('The network that you tuned on these photos answers again.');
    showTake();
  }

  /** What is odd about the classes: two with one name, or with the same photos. */
  function doubts(names, rows) {
    const twice = new Set(names.filter((name, i) => names.indexOf(name) < i));
    const words = [...twice].map((name) => `Two classes are called “${name}”.`);
    const first = new Map(); // The class in which a photo, known by its features, was found first.
    let both = 0;
    for (const { photo, label } of rows) {
      const key = photo.features.join();
      if (!first.has(key)) first.set(key, label);
      else if (first.get(key) !== label) both++;
    }
    if (both)
      words.push(
        `${both} ${both === 1 ? 'photo is' : 'photos are'} in two classes: no head can be right about both.`,
      );
    return words;
  }

  // ---- predictions

  async function ask(photo) {
    Object.assign(asked, photo);
    await part.attempt(answerNow);
  }
  async function answerNow() {
    if (!probe && !tuned) await fit(); // After a device was lost.
    if (!probe && !tuned) {
      answer.textContent = 'Give at least two classes some photos first.';
      return;
    }
    const engine = await part.engine();
    const found = await engine.predict(
      asked.blob,
      tuned ? { network: tuned } : { network: 'photos', probe: probe.id },
    );
    const order = [...found.probabilities.keys()].sort(
      (a, b) => found.probabilities[b] - found.probabilities[a],
    );
    answer.replaceChildren(
      asked.thumb,
      h(
        'table',
        { className: 'bars' },
        h(
          'tbody',
          {},
          order.map((i) => {
            const fill = h('div');
            fill.style.width = percent(found.probabilities[i]);
            return h(
              'tr',
              {},
              h('th', { scope: 'row' }, found.classes[i]),
              h('td', {}, percent(found.probabilities[i])),
              h('td', { className: 'bar plain', 'aria-hidden': 'true' }, fill),
            );
          }),
        ),
      ),
      h(
        'p',
        { className: 'soft' },
        `${tuned ? 'The tuned network' : 'The head'} answered in ${milliseconds(found.milliseconds)}.`,
      ),
    );
  }
  /** Answers about what the camera sees, about twice a second while it is open. */
  async function look() {
    while (live.open) {
      if (!document.hidden && (probe || tuned))
        await small(live.video)
          .then(ask)
          .catch(() => {});
      await new Promise((done) => setTimeout(done, 500));
    }
  }

  // ---- fine-tuning

  async function start() {
    const found = used(),
      points = { loss: [], accuracy: [] };
    const images = found.flatMap(({ one }) => one.photos.map(({ blob }) => blob));
    const labels = found.flatMap(({ one }, label) => one.photos.map(() => label));
    const names = found.map(({ one }) => one.name());
    // Each fifth photo of a class is held out, so that the curve is about photos that the network has not seen.
    const seen = {},
      held = labels.map((label) => (seen[label] = (seen[label] ?? 0) + 1) % 5 === 0);
    const side = (kept) => ({
      images: images.filter((_, i) => held[i] === kept),
      labels: labels.filter((_, i) => held[i] === kept),
    });
    const train = side(false),
      test = side(true);
    const data = { classes: names, ...train, ...(test.images.length ? { test } : {}) };
    const paint = () =>
      curve.draw({
        title: 'Fine-tuning',
        x: 'step',
        y: 'held-out accuracy, %',
        low: 0,
        high: 100,
        series: [{ name: '', color: 1, line: true, points: points.accuracy }],
      });
    const begun = version;
    curveless.textContent = test.images.length
      ? ''
      : 'There is no curve: it needs a class of five photos, of which one is held out.';
    if (!test.images.length) curve.box.replaceChildren();
    starting = true;
    allow();
    run =
      (await part.attempt(() =>
        part.train(
          {
            data,
            network: 'photos',
            start: 'pretrained',
            freezeBelow: depth.value,
            rate: 0.01,
            perClass: null,
            batch: Math.min(8, train.images.length),
            steps: 60,
            readEvery: 2,
            evaluateEvery: test.images.length ? 10 : null,
            evaluateOn: 60,
          },
          (event) => {
            if (event.type === 'step')
              part.say(
                `Fine-tuning: step ${event.step} of 60, ${milliseconds(event.milliseconds)} a step, loss ${event.losses.at(-1).loss.toFixed(3)}.`,
              );
            if (event.type === 'accuracy') {
              points.accuracy.push({ x: event.step, y: 100 * event.accuracy });
              paint();
            }
          },
        ),
      )) ?? null;
    starting = false;
    allow();
    if (!run) return;
    if (used().length < 2) part.attempt(() => run.stop()); // The photos were removed meanwhile.
    tune.textContent = 'Stop';
    const mine = run,
      end = await mine.finished.catch(() => null);
    run = null;
    tune.textContent = 'Fine-tune the last stages';
    allow();
    if (!end || version !== begun) {
      mine.close().catch(() => {});
      if (end) part.say('The photos changed meanwhile: tune again.');
      return;
    }
    replace(mine);
    part.say(`Fine-tuned for ${end.steps} steps. Predictions now come from the tuned network.`);
    showTake();
    if (asked.blob) await part.attempt(answerNow);
    const of = photosOf();
    if (!of || tuned !== mine) return;
    // Without storage the network is gone after a reload, and that is all.
    const checkpoint = await mine.checkpoint().catch(() => null);
    if (checkpoint && tuned === mine)
      await store.keepTuned({ of, checkpoint }).then(
        () => (kept = of),
        () => {},
      );
  }

  /** Opens a checkpoint, of this page or of the command. */
  async function open(file) {
    const engine = await part.engine();
    part.say(`Opening ${file.name} …`);
    const network = await engine.load(file);
    replace(network);
    part.say(
      `“${file.name}” answers: ${network.name}, ${network.classes.length} classes. New photos above change that.`,
    );
    showTake();
    if (asked.blob) await answerNow();
  }

  // ---- to keep

  function showTake() {
    const some = classes.filter((one) => one.photos.length);
    const folders = new Set((some.length ? some : classes).map((one) => folder(one.name())));
    const command = `frostline train photos --weights embedded-resnet10 --freeze-below ${depth.value} --out run`;
    take.replaceChildren(
      h(
        'p',
        {},
        tuned
          ? 'The checkpoint is a safetensors file that '
          : 'After fine-tuning you can download the network: as a safetensors file that ',
        h('code', {}, 'frostline predict'),
        ' reads, and as an ONNX graph from a decoded photo (bytes of height × width × 3) to probabilities.',
      ),
      h(
        'div',
        { className: 'row' },
        tuned ? download('Download the checkpoint', 'safetensors', () => tuned.checkpoint()) : null,
        tuned ? download('Download as ONNX', 'onnx', () => tuned.onnx()) : null,
        button('Open a checkpoint', () => chosen.click()),
        chosen,
      ),
      h(
        'p',
        {},
        'The command that trains the same network on photos on your disk, in folders ',
        ...[...folders].flatMap((name, i) => [i ? ', ' : '', h('code', {}, `photos/${name}`)]),
        ':',
      ),
      h('pre', {}, h('code', {}, command)),
    );
  }
}

/** The name of a class as that of a folder: letters, digits, spaces and dashes. */
const folder = (name) =>
  name.replace(/[^\p{L}\p{M}\p{N}_ -]+/gu, '-').replace(/^[ -]+|[ -]+$/g, '') || 'class';

function save(bytes, name) {
  const link = h('a', { href: URL.createObjectURL(new Blob([bytes])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
