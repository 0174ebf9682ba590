// Your photos: classes of the reader's own. A probe is fitted to the frozen network's features at once; after it,
// the last stages can be tuned. Photos are kept in this browser and survive a reload.

import { Part, button, bytes, chart, choice, h, milliseconds, percent } from './common.js';
import { MOST, camera, drop, examples, small } from './photos.js';
import * as store from './store.js';

const NAMES = ['first', 'second', 'third'];
const EXAMPLES = ['fish', 'tool', 'windmill'],
  EACH = 8;
const STAGE = 'avgpool';
const AT_ONCE = 32; // Photos in one pass through the network.

export async function begin(place) {
  const part = new Part(place);
  const classes = NAMES.map((name, label) => makeClass(name, label));
  const asked = { blob: null, thumb: null };
  let probe = null,
    run = null,
    tuned = null,
    settling = null;
  const reading = h('p', { className: 'now', role: 'status' });
  const result = h('div', { 'aria-live': 'polite' });
  const answer = h('div', { className: 'answer', role: 'status' });
  const curve = chart();
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
  const sample = button('Use example photos', () =>
    part.attempt(async () => {
      const found = await examples();
      for (const [label, name] of EXAMPLES.entries()) {
        classes[label].rename(name);
        const files = await Promise.all(
          found[name].slice(0, EACH).map(async (file) => (await fetch(file)).blob()),
        );
        await read(label, files);
      }
    }),
  );
  const forget = button('Remove all photos', async () => {
    await store.clear().catch(() => {});
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
      value: localStorage.getItem(`class${label}`) ?? name,
      maxLength: 40,
      'aria-label': `Name of class ${label + 1}`,
    });
    const one = {
      photos: [],
      thumbs: h('div', { className: 'thumbs' }),
      said: h('span', { className: 'soft' }),
    };
    one.count = () => {
      one.said.textContent = `${one.photos.length} photos`;
    };
    one.rename = (words) => {
      input.value = words;
      input.onchange();
    };
    one.name = () => input.value.trim() || NAMES[label];
    input.onchange = () => {
      localStorage.setItem(`class${label}`, input.value);
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

  /** Reads files of a class. A file that is no image is named and left out; the others stay. */
  async function read(label, files) {
    const room = Math.max(0, MOST - classes.reduce((sum, one) => sum + one.photos.length, 0));
    const wrong = [];
    let done = 0;
    for (const file of files.slice(0, room)) {
      try {
        await keep(label, await small(file));
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
    const all = classes.reduce((sum, one) => sum + one.photos.length, 0);
    reading.textContent = `${all} photos in all.`;
    if (wrong.length)
      part.fail(
        new Error(
          wrong.length > 4 ? `${wrong.slice(0, 3).join(' ')} And ${wrong.length - 3} more.` : wrong.join(' '),
        ),
      );
    changed();
  }

  async function keep(label, photo, key) {
    const one = classes[label];
    const kept = { ...photo, key: key ?? (await store.add(label, photo.blob).catch(() => null)) };
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
    const kept = await store.all().catch(() => []);
    for (const { key, label, blob } of kept) {
      if (classes[label])
        await small(blob)
          .then((photo) => keep(label, { ...photo, blob }, key))
          .catch(() => {});
    }
    if (kept.length) {
      reading.textContent = `${kept.length} photos from your last visit.`;
      changed();
    }
  }

  // ---- the probe

  const used = () =>
    classes.map((one, label) => ({ one, label })).filter(({ one }) => one.photos.length >= 2);

  /** The photos or names have changed: a head is fitted when they have settled. */
  function changed() {
    clearTimeout(settling);
    settling = setTimeout(() => part.attempt(fit), 400);
    showTake();
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
    tune.disabled = found.length < 2;
    [probe, tuned] = [null, null];
    if (found.length < 2) {
      result.textContent = 'At least two classes with two photos each are needed.';
      return;
    }
    const engine = await part.engine();
    const photos = found.flatMap(({ one }, label) => one.photos.map((photo) => ({ photo, label })));
    const missing = photos.filter(({ photo }) => !photo.features).map(({ photo }) => photo);
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
      width = photos[0].photo.features.length;
    const values = new Float32Array(width * photos.length);
    photos.forEach(({ photo }, i) => values.set(photo.features, i * width));
    const names = found.map(({ one }) => one.name());
    probe = await engine.probe({
      features: { width, rows: photos.length, values },
      labels: photos.map(({ label }) => label),
      classes: names,
    });
    part.say('The head is ready: ask about a new photo.');
    const judged = probe.crossValidated ?? null;
    result.replaceChildren(
      h(
        'p',
        {},
        judged === null
          ? 'There are too few photos to judge the head.'
          : `Each fifth of the photos was recognised by a head that was fitted to the others: ${percent(judged)} right, of ${photos.length}.`,
      ),
      h(
        'p',
        { className: 'soft' },
        `Features of ${missing.length} new photos in ${milliseconds(features)}; head in ${milliseconds(probe.milliseconds)}.`,
      ),
    );
    if (asked.blob) await answerNow();
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
    tune.disabled = true;
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
    tune.disabled = false;
    if (!run) return;
    tune.textContent = 'Stop';
    const mine = run,
      end = await mine.finished.catch(() => null);
    run = null;
    tune.textContent = 'Fine-tune the last stages';
    if (!end) return;
    tuned = mine;
    part.say(`Fine-tuned for ${end.steps} steps. Predictions now come from the tuned network.`);
    showTake();
    if (asked.blob) await part.attempt(answerNow);
  }

  // ---- to keep

  function showTake() {
    const names = classes.map((one) => one.name());
    const command = `frostline train photos --weights embedded-resnet10 --freeze-below ${depth.value} --out run`;
    take.replaceChildren(
      h(
        'p',
        {},
        tuned
          ? 'The checkpoint is a safetensors file that '
          : 'After fine-tuning you can download the network as a safetensors file that ',
        h('code', {}, 'frostline predict'),
        ' reads.',
      ),
      tuned
        ? button('Download the checkpoint', () =>
            part.attempt(async () => {
              const file = await tuned.checkpoint();
              save(file, 'frostline-photos.safetensors');
              part.say(`The checkpoint has ${bytes(file.byteLength)}.`);
            }),
          )
        : '',
      h(
        'p',
        {},
        'The command that trains the same network on photos on your disk, in folders ',
        ...names.flatMap((name, i) => [i ? ', ' : '', h('code', {}, `photos/${name}`)]),
        ':',
      ),
      h('pre', {}, h('code', {}, command)),
    );
  }
}

function save(bytes, name) {
  const link = h('a', { href: URL.createObjectURL(new Blob([bytes])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
