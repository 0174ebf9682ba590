// The worker that owns the device. It answers the calls of `engine.js`; pages never load it themselves.
//
// A Rust object takes one call at a time, so each has a queue. A run's queue is its loop: what a page asks of
// a run is done between two of its steps.

import init, { Engine, Images, Network, Probe } from './pkg/frostline_web.js';

const SHEETS = {
  digits: ['digits_train', 'digits_test'],
  fashion: ['fashion_train', 'fashion_test'],
  'fashion-source': ['fashion_source_test', 'fashion_source_test'],
};
const NETWORKS = {
  fashion: { model: 'resnet10', weights: 'resnet10_fashion' },
  photos: { model: 'resnet10_photo', weights: 'resnet10_photos' },
};
const MOST_PIXELS = 2048; // Larger photos are reduced while they are decoded: no network here takes more than 96.

let engine, assets;
const fetched = new Map();   // Name of a file -> promise of its bytes.
const sheets = new Map();    // Name of a data set -> promise of { pool, test }.
const networks = new Map();  // Name -> promise of a Shared.
const runs = new Map();      // Id -> Run.
const loaded = new Map();    // Id -> Shared: the networks of checkpoints.
const probes = new Map();    // Id -> Probe.
const compiling = new Set(); // Ids of runs that wait for kernels.

class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const input = (message) => new Fault('input', message);
const post = (about, event) => postMessage({ about, event });

/** A Rust object and the calls that wait for it. */
class Shared {
  constructor(object) {
    this.object = object;
    this.tail = Promise.resolve();
  }

  use(work) {
    const result = this.tail.then(() => work(this.object));
    this.tail = result.catch(() => {});
    return result;
  }
}

function file(name) {
  if (!fetched.has(name)) {
    const url = new URL(name, assets).href;
    const bytes = fetch(url).then(async (response) => {
      if (!response.ok) throw new Fault('fetch', `${url}: the server answered ${response.status} ${response.statusText}`);
      return new Uint8Array(await response.arrayBuffer());
    }, (error) => { throw new Fault('fetch', `${url} could not be fetched: ${error.message}`); });
    bytes.catch(() => fetched.delete(name)); // The next call tries again.
    fetched.set(name, bytes);
  }
  return fetched.get(name);
}

async function sheet(name) {
  const [png, json] = await Promise.all([file(`${name}.png`), file(`${name}.json`)]);
  return Images.sheet(png, json);
}

function dataset(name) {
  const names = SHEETS[name];
  if (!names) throw input(`data: there is no set ${name}; there are ${Object.keys(SHEETS).join(', ')}`);
  if (!sheets.has(name)) {
    const loaded = Promise.all(names.map(sheet)).then(([train, test]) => (
      { pool: name === 'fashion-source' ? train : train.pool(), test }));
    loaded.catch(() => sheets.delete(name));
    sheets.set(name, loaded);
  }
  return sheets.get(name);
}

/** A network by name, or that of a run. */
function network(name) {
  if (typeof name === 'number') return held(name);
  const [base, scratch] = String(name).split('-scratch');
  if (!NETWORKS[base] || (scratch !== undefined && scratch !== '')) {
    throw input(`network: there is no ${name}; there are ${Object.keys(NETWORKS).join(', ')}, the same with -scratch, and runs`);
  }
  if (!networks.has(name)) {
    const made = (scratch === undefined ? file(`${NETWORKS[base].weights}.safetensors`) : Promise.resolve(undefined))
      .then((weights) => new Shared(Network.new(engine, NETWORKS[base].model, weights, 'null', 0n)));
    made.catch(() => networks.delete(name));
    networks.set(name, made);
  }
  return networks.get(name);
}

// Images ---------------------------------------------------------------------------------------------------

/** Three bytes a pixel, of anything that a page may call an image. */
async function rgb(image) {
  if (image?.pixels && image.width && image.height) {
    const { width, height, pixels } = image;
    const count = width * height;
    if (pixels.length === 3 * count) return { width, height, data: Uint8Array.from(pixels) };
    if (pixels.length === count) {
      const data = new Uint8Array(3 * count);
      pixels.forEach((value, i) => data.fill(value, 3 * i, 3 * i + 3));
      return { width, height, data };
    }
    throw input(`an image of ${width} × ${height} pixels needs ${count} or ${3 * count} bytes, it has ${pixels.length}`);
  }
  if (typeof ImageData !== 'undefined' && image instanceof ImageData) return withoutAlpha(image);
  let bitmap = image;
  if (image instanceof Blob) {
    const name = image.name ? `${image.name}: ` : '';
    try {
      bitmap = await createImageBitmap(image);
    } catch {
      throw input(`${name}this browser cannot read it as an image. JPEG, PNG and WebP are images that every browser reads`);
    }
  }
  if (!(bitmap instanceof ImageBitmap)) throw input('expected an image: a Blob, an ImageBitmap, an ImageData or { width, height, pixels }');
  const scale = Math.min(1, MOST_PIXELS / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  if (image instanceof Blob) bitmap.close();
  return withoutAlpha(context.getImageData(0, 0, width, height));
}

function withoutAlpha({ width, height, data: rgba }) {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, o = 0; i < rgba.length; i += 4, o += 3) {
    data[o] = rgba[i];
    data[o + 1] = rgba[i + 1];
    data[o + 2] = rgba[i + 2];
  }
  return { width, height, data };
}

/** Images one after another, as a network takes them. */
async function prepared(object, images) {
  const all = [];
  for (const image of images) {
    const { width, height, data } = await rgb(image);
    all.push(object.prepare(data, width, height));
  }
  const joined = new Uint8Array(all.reduce((sum, pixels) => sum + pixels.length, 0));
  let at = 0;
  for (const pixels of all) {
    joined.set(pixels, at);
    at += pixels.length;
  }
  return joined;
}

const described = (object) => JSON.parse(object.describe());

/** Shuffled and split by label, a share of every class to test on. */
async function ownData(object, data) {
  const { classes, images, labels, test } = data;
  if (!Array.isArray(classes) || !images?.length || images.length !== labels?.length) {
    throw input('own data need classes, images, and a label for each image');
  }
  const { size, channels } = described(object);
  const set = async (images, labels) => (
    Images.new(await prepared(object, images), size, channels, Uint32Array.from(labels), JSON.stringify(classes)));
  return { train: await set(images, labels), test: test?.images?.length ? await set(test.images, test.labels) : null };
}

// Runs -----------------------------------------------------------------------------------------------------

class Run {
  constructor(id, shared, options) {
    this.id = id;
    this.shared = shared;
    this.options = options;
    this.paused = false;
    this.stopped = false;
    this.step = 0;
    this.accuracy = null;
    this.wake = () => {};
    this.ended = new Promise((resolve) => { this.end = resolve; });
  }

  emit(event) { post(this.id, event); }

  state(state) { this.emit({ type: 'state', state }); }

  plan(object) {
    const plan = JSON.parse(object.plan());
    this.emit({ type: 'plan', plan });
    return plan;
  }

  losses(object, json, milliseconds) {
    const losses = JSON.parse(json);
    if (losses.length) {
      const { step } = losses[losses.length - 1];
      this.emit({ type: 'step', step, losses, milliseconds: milliseconds / losses.length, dispatches: object.dispatches() });
    }
  }

  async evaluate(object) {
    if (!this.test) return;
    const [accuracy, loss] = await object.evaluate(this.test);
    const old = this.old ? await object.evaluate_old(this.old) : null;
    const updates = JSON.parse(await object.updates());
    this.accuracy = accuracy;
    this.emit({ type: 'accuracy', step: this.step, accuracy, loss, count: this.test.count(), old, updates });
  }

  /** Trains until the last step, or until it is stopped. */
  async loop() {
    const { steps, readEvery, evaluateEvery } = this.options;
    try {
      this.state('running');
      if (evaluateEvery) await this.shared.use((object) => this.evaluate(object));
      let spent = 0;
      while (!this.stopped && (steps === null || this.step < steps)) {
        if (this.paused) {
          await this.shared.use(async (object) => this.losses(object, await object.read(), spent));
          spent = 0;
          this.state('paused');
          await new Promise((resolve) => { this.wake = resolve; });
          if (!this.stopped) this.state('running');
          continue;
        }
        await this.shared.use(async (object) => {
          const start = performance.now();
          await object.step();
          this.step += 1;
          const last = this.step === steps;
          const due = evaluateEvery && (last || this.step % evaluateEvery === 0);
          if (last || due || this.step % readEvery === 0) {
            const json = await object.read();
            this.losses(object, json, spent + performance.now() - start);
            spent = 0;
          } else spent += performance.now() - start;
          if (due) await this.evaluate(object);
        });
        // Messages of the page are handled between two steps, and other runs have their turn.
        await new Promise((resolve) => { const { port1, port2 } = new MessageChannel(); port2.onmessage = resolve; port1.postMessage(null); });
      }
      await this.shared.use(async (object) => this.losses(object, await object.read(), spent));
      const reason = this.stopped ? 'stopped' : 'steps';
      this.state(this.stopped ? 'stopped' : 'finished');
      this.emit({ type: 'end', result: { steps: this.step, accuracy: this.accuracy, reason } });
    } catch (error) {
      this.state('failed');
      this.emit({ type: 'end', error: fault(error) });
    }
    this.end();
  }
}

/** What `work` resolves to; meanwhile the run `id` is told of every kernel that is compiled. */
async function waiting(id, work) {
  compiling.add(id);
  try {
    return await work();
  } finally {
    compiling.delete(id);
  }
}

function run(id) {
  const found = runs.get(id);
  if (!found) throw input('this run was closed');
  return found;
}

/** The network of a run or a checkpoint. */
function held(id) {
  const found = runs.get(id)?.shared ?? loaded.get(id);
  if (!found) throw input('this network was closed');
  return found;
}

// Calls ----------------------------------------------------------------------------------------------------

const now = () => performance.now();

/** Name of an adapter for people, of what the browser tells about it. */
function adapterName({ vendor, architecture, device, description, isFallbackAdapter }) {
  const name = description || [vendor, device || architecture].filter(Boolean).join(' ') || 'an adapter without a name';
  return isFallbackAdapter ? `${name} (software)` : name;
}

const calls = {
  async open({ kernels, assets: folder }) {
    if (!navigator.gpu) throw new Fault('no-webgpu', 'this browser has WebGPU in pages and not in workers, which the engine needs');
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      throw new Fault('no-adapter', 'this browser has WebGPU and offers no adapter: its GPU may be blocked, or WebGPU switched off for it');
    }
    assets = folder.endsWith('/') ? folder : `${folder}/`;
    const module_or_path = new URL('./pkg/frostline_web_bg.wasm', import.meta.url);
    await init({ module_or_path });
    engine = await Engine.open(kernels, (json) => {
      const event = { type: 'compile', ...JSON.parse(json) };
      [null, ...compiling].forEach((about) => post(about, event));
    });
    engine.lost().then((message) => post(null, { type: 'lost', message: `the GPU device was lost: ${message}` }));
    return { adapter: adapterName(adapter.info), kernels: engine.kernels() };
  },

  async network({ network: name }) { return (await network(name)).use(described); },

  async data({ name }) {
    const { pool, test } = await dataset(name);
    const part = (images) => ({ pixels: images.pixels(), labels: images.labels(), count: images.count() });
    return { name, classes: JSON.parse(test.classes()), side: test.side(), channels: test.channels(), pool: part(pool), test: part(test) };
  },

  async plan({ network: name = 'fashion', freezeBelow = 'fc', batch = 16, classes = 10, rate = 0.02 }) {
    const base = NETWORKS[name];
    if (!base) throw input(`plan: there is no network ${name}; there are ${Object.keys(NETWORKS).join(', ')}`);
    const names = JSON.stringify(Array.from({ length: classes }, (_, at) => String(at)));
    const planned = Network.new(engine, base.model, undefined, names, 0n);
    try {
      return JSON.parse(planned.plan_of(JSON.stringify({ freezeBelow, batch, rate })));
    } finally {
      planned.free();
    }
  },

  async load({ file }, id) {
    const bytes = new Uint8Array(file instanceof Blob ? await file.arrayBuffer() : file);
    const shared = new Shared(await Network.open(engine, bytes, file.name ?? 'the checkpoint'));
    loaded.set(id, shared);
    return { id, ...(await shared.use(described)) };
  },

  source({ kernel }) { return JSON.parse(engine.source(kernel)); },

  async activations({ image, network: name = 'photos' }) {
    return (await network(name)).use(async (object) => {
      const { size, channels, stages } = described(object);
      const pixels = await prepared(object, [image]);
      const start = now();
      const maps = [];
      for (const { name, channels, height, width } of stages.filter(({ name }) => name !== 'fc')) {
        maps.push({ name, channels, height, width, values: await object.activation(pixels, name) });
      }
      const logits = stages.some(({ name }) => name === 'fc') ? await object.logits(pixels, false) : null;
      return { input: { width: size, height: size, channels, pixels }, stages: maps, logits, milliseconds: now() - start };
    });
  },

  async filters({ network: name = 'photos' }) {
    return (await network(name)).use(async (object) => ({ shape: Array.from(object.filters_shape()), values: await object.filters() }));
  },

  async excite({ image, network: name = 'photos', stage, channel }) {
    return (await network(name)).use(async (object) => {
      const { size, channels } = described(object);
      const values = await object.excite(await prepared(object, [image]), stage, channel);
      return { width: size, height: size, channels, values: values.slice(2), at: { y: values[0], x: values[1] } };
    });
  },

  async features({ images, network: name = 'photos', stage = 'avgpool' }) {
    return (await network(name)).use(async (object) => {
      const pixels = await prepared(object, images);
      const start = now();
      const values = await object.features(pixels, stage);
      return { width: values.length / images.length, rows: images.length, values, milliseconds: now() - start };
    });
  },

  async predict({ image, network: name = 'fashion', probe: id = null, normalise = true }) {
    const probe = id === null ? null : probes.get(id);
    if (id !== null && !probe) throw input('this probe was not made by this engine');
    return (await network(name)).use(async (object) => {
      const pixels = await prepared(object, [image]);
      const start = now();
      const logits = probe ? await object.probe_logits(pixels, probe) : await object.logits(pixels, !normalise);
      const probabilities = Network.probabilities(logits);
      const { classes } = probe ? JSON.parse(probe.describe()) : described(object);
      const label = probabilities.reduce((best, value, at) => (value > probabilities[best] ? at : best), 0);
      return { label, class: classes[label], probabilities, classes, milliseconds: now() - start };
    });
  },

  probe({ features, labels, classes, test }) {
    const start = now();
    const probe = Probe.fit(features.values, features.width, Uint32Array.from(labels), JSON.stringify(classes));
    const id = probes.size;
    probes.set(id, probe);
    const { strength, trainAccuracy, crossValidated } = JSON.parse(probe.describe());
    const testAccuracy = test
      ? probe.accuracy(test.features.values, test.features.width, Uint32Array.from(test.labels)) : null;
    return { id, strength, trainAccuracy, crossValidated, testAccuracy, milliseconds: now() - start };
  },

  async augment({ image, seed, options }) {
    const name = options.network ?? 'photos';
    const { network: _, size, ...changes } = options;
    return (await network(name)).use(async (object) => {
      const { size: side, channels } = described(object);
      const to = size ?? side;
      const pixels = await object.augment(await prepared(object, [image]), BigInt(seed), JSON.stringify({ ...changes, size: to }));
      return { width: to, height: to, channels, pixels };
    });
  },

  async selfTest(_, id) {
    return JSON.parse(await engine.self_test((json) => post(id, { type: 'check', check: JSON.parse(json) })));
  },

  async train(given, id) {
    const defaults = { data: 'digits', start: 'pretrained', freezeBelow: 'layer4', trainable: null, rate: 0.02, perClass: 10, images: null, batch: 16,
      steps: 300, seed: 0, augment: null, readEvery: 5, evaluateEvery: 25, evaluateOn: 200, old: false };
    const own = typeof given.data === 'object' && given.data !== null;
    const options = { ...defaults, network: own ? 'photos' : 'fashion', ...given };
    const base = NETWORKS[options.network];
    if (!base) throw input(`train: there is no network ${options.network}; there are ${Object.keys(NETWORKS).join(', ')}`);
    const from = typeof options.start === 'number' ? held(options.start) : null;
    if (!from && !['pretrained', 'scratch'].includes(options.start)) {
      throw input(`train: start ${options.start}; it is pretrained, scratch, a run or a loaded network`);
    }
    if (options.old && (options.network !== 'fashion' || options.start !== 'pretrained')) {
      throw input('train: `old` needs the pretrained network fashion, whose old classes are known');
    }
    const set = own ? null : await dataset(options.data);
    const classes = own ? options.data.classes : JSON.parse(set.pool.classes());
    const head = [JSON.stringify(classes), BigInt(options.seed)];
    const weights = options.start === 'pretrained' ? await file(`${base.weights}.safetensors`) : undefined;
    const object = from ? await from.use((network) => network.copy(...head))
      : Network.new(engine, base.model, weights, ...head);
    const run = new Run(id, new Shared(object), options);
    if (own) {
      const { train, test } = await ownData(object, options.data);
      run.images = train;
      run.test = test;
    } else {
      run.pool = set.pool;
      run.images = set.pool.draw(options.images ?? options.perClass * classes.length, BigInt(options.seed));
      run.test = set.test.some(options.evaluateOn);
    }
    if (options.old) run.old = (await dataset('fashion-source')).test.some(options.evaluateOn);
    const { freezeBelow, trainable, rate, batch, seed, augment } = options;
    const recipe = { freezeBelow, trainable, rate, batch: Math.min(batch, run.images.count()), seed, augment };
    await waiting(id, () => object.train(run.images, JSON.stringify(recipe)));
    runs.set(id, run);
    run.plan(object);
    run.loop();
    return id;
  },

  setFreezeBelow({ run: id, stage }) {
    const found = run(id);
    return found.shared.use(async (object) => {
      found.losses(object, await waiting(id, () => object.freeze_below(stage)), 0);
      return found.plan(object);
    });
  },

  setRate({ run: id, rate }) {
    const found = run(id);
    return found.shared.use(async (object) => found.losses(object, await object.set_rate(JSON.stringify(rate)), 0));
  },

  setPerClass({ run: id, perClass }) {
    const found = run(id);
    if (!found.pool) throw input('own data are trained on as a whole');
    return found.shared.use((object) => {
      const classes = JSON.parse(found.pool.classes()).length;
      const images = found.pool.draw(perClass * classes, BigInt(found.options.seed));
      object.set_images(images);
      found.images = images;
    });
  },

  pause({ run: id }) { run(id).paused = true; },

  resume({ run: id }) {
    const found = run(id);
    found.paused = false;
    found.wake();
  },

  async stop({ run: id }) {
    const found = run(id);
    found.stopped = true;
    found.wake();
    await found.ended;
  },

  checkpoint({ network: id }) { return held(id).use((object) => object.checkpoint()); },

  onnx({ network: id }) { return held(id).use((object) => object.onnx()); },

  async close({ network: id }) {
    const shared = held(id);
    if (runs.has(id)) await calls.stop({ run: id });
    await shared.use((object) => object.free());
    runs.delete(id);
    loaded.delete(id);
  },

  loseDevice() { engine.lose(); },
};

/** An error as the page gets it. */
function fault(error) {
  const kind = error?.kind ?? (error instanceof RangeError ? 'out-of-memory' : 'internal');
  return { kind, message: String(error?.message ?? error) };
}

/** The memory of typed arrays in an answer, which moves to the page. */
function memory(value, found = new Set()) {
  if (ArrayBuffer.isView(value)) found.add(value.buffer);
  else if (value && typeof value === 'object') Object.values(value).forEach((part) => memory(part, found));
  return found;
}

onmessage = async ({ data: { id, name, args } }) => {
  try {
    const result = await calls[name](args, id);
    postMessage({ id, result }, [...memory(result)]);
  } catch (error) {
    postMessage({ id, error: fault(error) });
  }
};
