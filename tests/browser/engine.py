"""The engine in a tab of headless Chromium, through the interface of the pages (web/README.md).

    make test-site

Kernels are compared with their f64 twins in the tab; ten training steps with the results of the native engine
(tests/browser/native.json, which web/tests/native.rs checks); the frostline moves during a run, and the
engine's counts are compared with the dispatches that the browser got; the device is destroyed; and files that
are not images are refused. Needs what explorer.py needs, and the built module.

    python3 tests/browser/engine.py PKG [TEST...]    # PKG: the folder that scripts/build-web.sh wrote
"""

import http.server
import json
import struct
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

from explorer import Browser, PATIENCE, programs

ROOT = Path(__file__).parents[2]
# Bound of losses and logits, as a share of the value or of 1: that of web/tests/native.rs.
BOUND = 1e-5

# Counts the browser's dispatches, and answers one query for errors with a lack of memory. It is inserted into the
# worker in front of its text.
COUNT = """
let dispatched = 0;
const original = GPUComputePassEncoder.prototype.dispatchWorkgroups;
GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...sizes) { dispatched += 1; return original.apply(this, sizes); };
let asked = 0, lacking = 0;
const scopes = [], { pushErrorScope, popErrorScope } = GPUDevice.prototype;
GPUDevice.prototype.pushErrorScope = function (filter) { scopes.push(filter); return pushErrorScope.call(this, filter); };
GPUDevice.prototype.popErrorScope = async function () {
    const at = scopes.pop() === 'out-of-memory' ? ++asked : null, found = await popErrorScope.call(this);
    return at !== null && at === lacking ? new GPUOutOfMemoryError('no memory left') : found;
};
"""
ASK = """
  dispatched() { return this.#link.call('dispatched'); }
  lack(at) { return this.#link.call('lack', { at }); }
  asked() { return this.#link.call('asked'); }

"""
COUNTED = """
calls.dispatched = () => dispatched;
calls.lack = ({ at }) => { [asked, lacking] = [0, at]; };
calls.asked = () => asked;
"""

PAGE = """<!doctype html><title>engine</title><script type="module">
import { openEngine, EngineError } from './engine.js';
Object.assign(window, { openEngine, EngineError, ready: true });
window.rows = async (images, data) => Array.from(images, (at) => ({ width: data.side, height: data.side, channels: 1,
    pixels: data.test.pixels.slice(at * data.side ** 2, (at + 1) * data.side ** 2) }));
</script>"""

# Runs `body`, an async function of `engine` and `argument`.
RUN = """
const [body, argument, done] = arguments;
(async () => {
    window.engine ??= await openEngine({ assets: '/assets/', kernels: window.kernels, onCompile: (event) => { (window.compiled ??= []).push(event); } });
    return new (Object.getPrototypeOf(async () => {}).constructor)('engine', 'argument', body)(window.engine, argument);
})().then(done, (error) => done({ broken: `${error.kind ?? error.name}: ${error.message}`, stack: error.stack }));
"""


class Site(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm", ".js": "text/javascript"}

    def do_GET(self):
        if self.path == "/":
            return self.answer(PAGE.encode(), "text/html")
        if self.path == "/engine-worker.js":
            text = (ROOT / "web/site/engine-worker.js").read_text()
            return self.answer((COUNT + text + COUNTED).encode(), "text/javascript")
        if self.path == "/engine.js":
            text, place = (ROOT / "web/site/engine.js").read_text(), "  /** Ends the worker"
            assert text.count(place) == 1
            return self.answer(text.replace(place, f"{ASK}{place}").encode(), "text/javascript")
        super().do_GET()

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path):
        path = path.split("?")[0].lstrip("/")
        for prefix, folder in (("assets/", ROOT / "assets"), ("pkg/", self.server.pkg), ("", ROOT / "web/site")):
            if path.startswith(prefix):
                return str(folder / path.removeprefix(prefix))

    def log_message(self, *_):
        pass


class Tab:
    def __init__(self, browser, base):
        self.browser, self.base = browser, base
        self.fresh()

    def fresh(self):
        """The page loaded again, without an engine."""
        self.browser.post("url", url=self.base)
        while not self.browser.js("return window.ready === true"):
            time.sleep(0.05)

    def run(self, body, argument=None, kernels=None):
        if kernels:
            self.browser.js("window.kernels = arguments[0]", kernels)
        answer = self.browser.post("execute/async", script=RUN, args=[body, argument])
        if isinstance(answer, dict) and "broken" in answer:
            raise AssertionError(f"{answer['broken']}\n{answer['stack']}")
        return answer


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def png(width, height, value):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(value) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def test_opens(tab):
    found = tab.run("return { adapter: engine.adapter, kernels: engine.kernels };")
    print(f"    {found['adapter']}; {found['kernels']} kernels")
    check(found["kernels"] in ("portable", "gpu"), found)


def test_ten_steps_give_the_native_losses(tab):
    native = json.loads((Path(__file__).parent / "native.json").read_text())
    found = tab.run("""
        const losses = [], states = [];
        let steady = 0;
        const start = performance.now();
        const run = await engine.train({ data: 'digits', network: 'fashion', ...argument.recipe, perClass: argument.per_class, steps: 10, readEvery: 5,
            evaluateEvery: null }, (event) => { if (event.type === 'step') { losses.push(...event.losses); steady = event.milliseconds; }
                if (event.type === 'state') states.push(event.state); });
        const compiled = performance.now() - start;
        const end = await run.finished;
        const bytes = await run.checkpoint();
        const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
        const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
        await run.close();
        const data = await engine.data('fashion-source');
        const logits = [];
        for (const image of await rows([0, 1, 2], data)) logits.push(...(await engine.activations(image, { network: 'fashion' })).logits);
        return { losses, states, end, logits, header, size: bytes.length, compiled, step: steady };
    """, native)
    losses = [step["loss"] for step in found["losses"]]
    check([step["step"] for step in found["losses"]] == list(range(1, 11)), found["losses"])
    check(found["states"] == ["running", "finished"] and found["end"]["steps"] == 10, found["states"])
    worst = 0
    for mine, theirs in list(zip(losses, native["losses"])) + list(zip(found["logits"], native["logits"])):
        worst = max(worst, abs(mine - theirs) / max(1, abs(theirs)))
    print(f"    compiled and planned in {found['compiled'] / 1000:.1f} s, {found['step']:.0f} ms a step; losses {losses[0]:.4f} … {losses[-1]:.4f}; "
          f"largest difference from the native engine {worst:.1e}, allowed {BOUND:.0e}")
    check(len(losses) == 10 and len(found["logits"]) == 18 and worst <= BOUND, f"{losses} beside {native['losses']}")
    header = found["header"]
    check(header["fc.weight"]["shape"] == [10, 128] and header["conv1.weight"]["shape"] == [16, 1, 3, 3], "the checkpoint has the weights")
    check(max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__") < found["size"], "and its bytes")


def test_the_frostline_moves_and_counts_are_dispatches(tab):
    found = tab.run("""
        const events = [];
        const run = await engine.train({ data: 'digits', freezeBelow: 'fc', perClass: 2, batch: 4, steps: null, readEvery: 2, evaluateEvery: null },
            (event) => events.push(event));
        const reach = async (steps) => {
            while (!events.some((event) => event.type === 'step' && event.step >= steps)) await new Promise((resolve) => setTimeout(resolve, 20));
        };
        const counts = () => engine.dispatched();
        await reach(4);
        await run.pause();
        while (!events.some(({ type, state }) => type === 'state' && state === 'paused')) await new Promise((resolve) => setTimeout(resolve, 20));
        const plans = [events.find((event) => event.type === 'plan').plan];
        const last = () => events.filter((event) => event.type === 'step').at(-1);
        const rounds = [];
        for (const stage of ['layer3', 'stem', 'layer4']) {
            plans.push(await run.setFreezeBelow(stage));
            // One step first: the results of frozen layers' weights are prepared along with it.
            const before = last().step;
            await run.resume();
            await reach(before + 2);
            await run.pause();
            const paused = events.length;
            while (!events.slice(-1).some(({ type, state }) => type === 'state' && state === 'paused')) await new Promise((resolve) => setTimeout(resolve, 20));
            const from = { step: last().step, dispatches: last().dispatches, browser: await counts() };
            await run.resume();
            await reach(from.step + 4);
            await run.pause();
            while (!events.slice(-1).some(({ type, state }) => type === 'state' && state === 'paused')) await new Promise((resolve) => setTimeout(resolve, 20));
            rounds.push({ stage, steps: last().step - from.step, engine: last().dispatches - from.dispatches, browser: await counts() - from.browser });
        }
        await run.stop();
        const end = await run.finished;
        await run.close();
        return { plans, rounds, end };
    """)
    check(found["end"]["reason"] == "stopped", found["end"])
    stages = ["fc", "layer3", "stem", "layer4"]
    for stage, plan in zip(stages, found["plans"]):
        present = sum(row["present"] for row in plan["dispatches"])
        absent = len(plan["dispatches"]) - present
        check(plan["freezeBelow"] == stage and present == plan["ledger"]["dispatches"], f"{stage}: {present} rows, {plan['ledger']}")
        check((absent == 0) == (stage == "stem"), f"{stage}: {absent} absent")
        kept, full = plan["ledger"]["keptBytes"], plan["unfrozen"]["keptBytes"]
        check(kept < full if stage != "stem" else kept == full, f"{stage}: {kept} of {full} bytes kept")
        frozen = [row["name"] for row in plan["stages"] if row["frozen"]]
        check(frozen == [row["name"] for row in plan["stages"]][: len(frozen)] and stage not in frozen, frozen)
    for plan, done in zip(found["plans"][1:], found["rounds"]):
        expected = done["steps"] * plan["ledger"]["dispatches"]
        print(f"    below {done['stage']}: {done['steps']} steps of {plan['ledger']['dispatches']} dispatches; the engine counted {done['engine']}, the browser {done['browser']}")
        check(done["steps"] >= 4 and done["engine"] == expected and done["browser"] == expected, done)


def test_accuracy_rates_and_old_classes(tab):
    found = tab.run("""
        const events = [];
        const run = await engine.train({ data: 'digits', freezeBelow: 'layer4', perClass: 2, batch: 4, steps: 6, readEvery: 3, evaluateEvery: 6, evaluateOn: 20,
            old: true, rate: { layer4: 0.002, fc: 0.02 } }, (event) => events.push(event));
        await run.setRate({ layer4: 0, fc: 0.01 });
        const end = await run.finished;
        const data = await engine.data('digits');
        const [image] = await rows([0], data);
        const answer = await engine.predict(image, { network: run });
        const raw = await engine.predict(image, { network: run, normalise: false });
        await run.close();
        return { accuracy: events.filter((event) => event.type === 'accuracy'), end, answer, raw };
    """)
    first, last = found["accuracy"][0], found["accuracy"][-1]
    check(first["step"] == 0 and last["step"] == 6 and last["count"] == 20, found["accuracy"])
    print(f"    digits {first['accuracy']:.2f} -> {last['accuracy']:.2f}, old classes {first['old']:.2f} -> {last['old']:.2f}")
    check(first["old"] > 0.7, "the pretrained network recognises the classes of its pretraining")
    moved = {row["stage"]: row["relative"] for row in last["updates"]}
    check(moved["stem"] == 0 and moved["layer3"] == 0 and moved["fc"] > 0, moved)
    check(all(value == 0 for value in (row["relative"] for row in first["updates"])), first["updates"])
    probabilities = found["answer"]["probabilities"]
    total = sum(probabilities.values() if isinstance(probabilities, dict) else probabilities)
    check(abs(total - 1) < 1e-9 and found["answer"]["classes"][found["answer"]["label"]] == found["answer"]["class"], found["answer"])
    check(found["raw"]["probabilities"] != probabilities, "without normalisation the answer is another")


def test_own_photos(tab):
    """Nine images of three colours: features, a probe, and a fine-tuning run."""
    colours = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}
    files = [(name, list(png(40 + 7 * i, 50, [min(255, value + 6 * i) for value in colour]))) for name, colour in colours.items() for i in range(3)]
    found = tab.run("""
        const images = argument.map(([name, bytes], i) => new File([new Uint8Array(bytes)], `${name}${i}.png`));
        const classes = ['red', 'green', 'blue'], labels = argument.map(([name]) => classes.indexOf(name));
        const features = await engine.features(images, { network: 'photos' });
        const probe = await engine.probe({ features, labels, classes });
        const answers = [];
        for (const image of images) answers.push((await engine.predict(image, { network: 'photos', probe: probe.id })).class);
        const seen = await engine.activations(images[0], { network: 'photos' });
        // A channel that the image excites: others have no gradient.
        const { values: maps, height, width } = seen.stages.find(({ name }) => name === 'layer2');
        const channel = Math.floor(maps.indexOf(maps.reduce((most, value) => Math.max(most, value))) / (height * width));
        const excite = await engine.excite(images[0], { network: 'photos', stage: 'layer2', channel });
        const filters = await engine.filters('photos');
        const augment = { crop: [0.5, 1], horizontalFlip: 0.5, degrees: 10, brightness: 0.2 };
        const variants = [await engine.augment(images[0], 1, augment), await engine.augment(images[0], 1, augment), await engine.augment(images[0], 2, augment)];
        const same = await engine.augment(images[0], 5, {});
        const events = [];
        const run = await engine.train({ data: { classes, images, labels, test: { images, labels } }, freezeBelow: 'layer4', batch: 9, steps: 3, readEvery: 1,
            evaluateEvery: 3 }, (event) => events.push(event));
        await run.finished;
        await run.close();
        return { width: features.width, rows: features.rows, probe, answers, wanted: argument.map(([name]) => name),
            stages: seen.stages.map(({ name, channels, height, width, values }) => [name, channels, height, width, values.length]), input: seen.input.pixels.length,
            excite: [excite.values.length, excite.values.some((value) => value !== 0)], filters: [filters.shape, filters.values.length],
            variants: variants.map(({ pixels }) => Array.from(pixels.slice(0, 3000)).join()), same: Array.from(same.pixels.slice(0, 12)), input12: Array.from(seen.input.pixels.slice(0, 12)),
            losses: events.filter(({ type }) => type === 'step').flatMap(({ losses }) => losses.map(({ loss }) => loss)) };
    """, files)
    check((found["width"], found["rows"]) == (256, 9), found)
    check(found["answers"] == found["wanted"] and found["probe"]["trainAccuracy"] == 1, found["answers"])
    print(f"    a probe in {found['probe']['milliseconds']:.0f} ms; losses {', '.join(f'{loss:.3f}' for loss in found['losses'])}")
    for name, channels, height, width, count in found["stages"]:
        check(count == channels * height * width, name)
    check([stage[0] for stage in found["stages"]] == ["stem", "layer1", "layer2", "layer3", "layer4", "avgpool"], found["stages"])
    check(found["input"] == 96 * 96 * 3 and found["excite"] == [96 * 96 * 3, True], found["excite"])
    check(found["filters"] == [[32, 3, 7, 7], 32 * 3 * 49], found["filters"])
    first, again, other = found["variants"]
    check(first == again and first != other, "the same seed gives the same image, another seed another")
    check(found["same"] == found["input12"], "an empty augmentation changes nothing")
    check(len(found["losses"]) == 3 and all(loss > 0 for loss in found["losses"]), found["losses"])


def test_wrong_input_is_told(tab):
    found = tab.run("""
        const told = async (work) => { try { await work(); return null; } catch (error) { return [error instanceof EngineError, error.kind, error.message]; } };
        const broken = new File([new Uint8Array([1, 2, 3])], 'holiday.jpg');
        return {
            file: await told(() => engine.predict(broken, { network: 'photos' })),
            stage: await told(() => engine.train({ data: 'digits', freezeBelow: 'layer9' })),
            data: await told(() => engine.data('mnist')),
            setting: await told(() => engine.train({ data: 'digits', rate: -1 })),
            kernel: await told(() => engine.source('conv2d.sideways')),
            source: (await engine.source('conv2d.backward_weight')),
            // 60 megapixels, which are decoded and reduced.
            large: await told(async () => {
                const canvas = new OffscreenCanvas(10000, 6000);
                canvas.getContext('2d').fillRect(0, 0, 10000, 6000);
                await engine.features([await canvas.convertToBlob({ type: 'image/jpeg' })], { network: 'photos' });
            }),
        };
    """)
    for name, words in {"file": "holiday.jpg", "stage": "layer9", "data": "digits", "setting": "rate", "kernel": "sideways"}.items():
        known, kind, message = found[name]
        check(known and kind == "input" and words in message, found[name])
    check("fn backward_weight(" in found["source"]["text"].splitlines()[found["source"]["line"] - 1], found["source"]["line"])
    check(found["large"] is None, found["large"])


def test_a_checkpoint_comes_back(tab):
    found = tab.run("""
        const data = await engine.data('digits');
        const [image] = await rows([7], data);
        const settings = { data: 'digits', freezeBelow: 'layer4', perClass: 2, batch: 4, readEvery: 1, evaluateOn: 50 };
        const accuracies = (events) => events.filter(({ type }) => type === 'accuracy').map(({ accuracy }) => accuracy);
        const train = async (more) => {
            const events = [], run = await engine.train({ ...settings, ...more }, (event) => events.push(event));
            await run.finished;
            return [run, accuracies(events)];
        };
        const [run, judged] = await train({ steps: 20, evaluateEvery: 20 });
        const file = await run.checkpoint();
        const loaded = await engine.load(new File([file], 'digits.safetensors'));
        const answers = await Promise.all([run, loaded].map((network) => engine.predict(image, { network })));
        const graphs = await Promise.all([run, loaded].map((network) => network.onnx()));
        const text = (bytes) => bytes.join();
        // A copy with the head; one without, for other classes.
        const [again, first] = await train({ start: loaded, steps: 1, evaluateEvery: 1 });
        const [other, second] = await train({ start: run, data: 'fashion', steps: 1, evaluateEvery: 1 });
        const scratch = await engine.predict(image, { network: run });
        const closed = await loaded.close().then(() => engine.predict(image, { network: loaded })).catch((error) => error);
        const refused = async (bytes, name) => engine.load(new File([bytes], name)).then(() => null, ({ kind, message }) => [kind, message]);
        const weights = await (await fetch('/assets/resnet10_fashion.safetensors')).arrayBuffer();
        const result = {
            name: loaded.name, classes: loaded.classes, judged, first, second: (await engine.network(other)).classes,
            answers: answers.map(({ probabilities }) => Array.from(probabilities)), graphs: graphs.map((bytes) => bytes.length),
            sameGraph: text(graphs[0]) === text(graphs[1]), sameFile: text(file) === text(await run.checkpoint()),
            untouched: Array.from(scratch.probabilities), closed: [closed.kind, closed.message],
            weights: await refused(weights, 'weights.safetensors'), cut: await refused(file.slice(0, 100000), 'cut.safetensors'),
            noise: await refused(new Uint8Array(64), 'noise.bin'),
        };
        for (const one of [run, again, other]) await one.close();
        return result;
    """)
    check(found["name"] == "resnet10" and found["classes"] == [str(i) for i in range(10)], found)
    check(found["answers"][0] == found["answers"][1] == found["untouched"], found["answers"])
    check(found["sameGraph"] and found["sameFile"] and found["graphs"][0] > 500_000, found)
    check(found["first"][0] == found["judged"][-1], (found["judged"], found["first"]))
    check(len(found["second"]) == 4, found["second"])
    check(found["closed"] == ["input", "this network was closed"], found["closed"])
    for name in ("weights", "cut", "noise"):
        kind, message = found[name]
        check(kind == "input" and name in message, found[name])
        print(f"    {message}")


def test_a_lack_of_memory_is_told_and_nothing_is_lost(tab):
    """The device answers with a lack of memory at one allocation, at a time: while a run starts, and later."""
    found = tab.run("""
        const data = await engine.data('digits');
        const [image] = await rows([0], data);
        const before = await engine.predict(image, { network: 'fashion' });
        const attempt = async () => {
            const run = await engine.train({ data: 'digits', freezeBelow: 'layer3', perClass: 2, batch: 4, steps: 3, readEvery: 1, evaluateEvery: null });
            try { return await run.finished; } finally { await run.close(); }
        };
        await engine.lack(0);
        await attempt();
        const scopes = await engine.asked(), outcomes = [];
        for (let at = 1; at <= scopes; at += Math.max(1, Math.floor(scopes / 12))) {
            await engine.lack(at);
            outcomes.push(await attempt().then(({ steps }) => ['ran', steps], ({ kind, message }) => [kind, message]));
            await engine.lack(0);
            const after = await engine.predict(image, { network: 'fashion' }).catch(({ message }) => ({ probabilities: message }));
            outcomes.at(-1).push(JSON.stringify(after.probabilities) === JSON.stringify(before.probabilities));
        }
        return { scopes, outcomes, last: await attempt() };
    """)
    print(f"    {len(found['outcomes'])} of {found['scopes']} allocations; first: {found['outcomes'][0][1]}")
    check(found["scopes"] >= 12 and found["last"]["steps"] == 3, found)
    for kind, message, same in found["outcomes"]:
        check(kind == "out-of-memory" and same, (kind, message, same))


def test_a_lost_device_is_told(tab):
    found = tab.run("""
        const run = await engine.train({ data: 'digits', freezeBelow: 'fc', perClass: 2, batch: 4, steps: null, readEvery: 1, evaluateEvery: null });
        await engine.loseDevice();
        const [lost, failed] = await Promise.all([engine.lost, run.finished.then(() => null, (error) => error)]);
        const later = await engine.predict({ width: 28, height: 28, channels: 1, pixels: new Uint8Array(784) }, { network: 'fashion' }).catch((error) => error);
        engine.close();
        const closed = await engine.data('digits').catch((error) => error);
        window.engine = undefined;
        const again = await openEngine({ assets: '/assets/' });
        const answer = await again.predict({ width: 28, height: 28, channels: 1, pixels: new Uint8Array(784) }, { network: 'fashion' });
        again.close();
        return { lost: [lost.kind, lost.message], failed: [failed?.kind, failed?.message], later: [later.kind, later.message], closed: closed.kind, label: answer.label };
    """)
    for name in ("lost", "failed", "later"):
        kind, message = found[name]
        check(kind == "device-lost" and "lost" in message, found[name])
    print(f"    {found['failed'][1]}")
    check(found["closed"] == "closed" and found["label"] in range(6), found)


def test_kernels_beside_their_twins(tab):
    start = time.monotonic()
    found = tab.run("""
        const checks = [];
        const sum = await engine.selfTest((check) => checks.push(check));
        return { sum, failed: checks.filter((check) => !check.passed), count: checks.length };
    """)
    print(f"    {found['sum']['passed']} of {found['count']} checks, {len(found['sum']['kernels'])} kernels, {time.monotonic() - start:.0f} s")
    check(found["sum"]["checks"] == found["count"] and found["count"] > 50, found["sum"])
    check(found["sum"]["failed"] == 0 and not found["failed"], json.dumps(found["failed"], indent=1))


def test_too_much_is_told_and_nothing_is_lost(tab):
    found = tab.run("""
        const data = await engine.data('digits');
        const [image] = await rows([0], data);
        const before = await engine.predict(image, { network: 'fashion' });
        const size = 4096;
        const large = await engine.augment(image, 1, { size, network: 'photos' }).then(() => null, (error) => [error.kind, error.message]);
        const many = await engine.train({ data: 'digits', perClass: 1000 }).then(() => null, (error) => [error.kind, error.message]);
        // 2,000 images at once.
        const files = Array.from({ length: 2000 }, () => image);
        const features = await engine.features(files, { network: 'fashion', stage: 'layer4' });
        const after = await engine.predict(image, { network: 'fashion' });
        return { large, many, rows: features.rows, count: features.values.length, same: JSON.stringify(before.probabilities) === JSON.stringify(after.probabilities) };
    """)
    print(f"    {found['large']}; {found['many']}")
    check(found["large"] is None or found["large"][0] == "out-of-memory", found["large"])
    check(found["many"] and found["many"][0] == "input", found["many"])
    check(found["rows"] == 2000 and found["count"] == 2000 * 128 and found["same"], found)


def test_kernels_of_gpus_beside_their_twins(tab):
    """The kernels of a browser with a GPU, here on the software adapter."""
    start = time.monotonic()
    tab.fresh()
    tab.run("return null", kernels="gpu")
    found = tab.run("""
        const checks = [];
        const sum = await engine.selfTest((check) => checks.push(check));
        return { sum, kernels: engine.kernels, failed: checks.filter((check) => !check.passed), tiled: sum.kernels.filter((name) => name.startsWith('conv2d_tiled.')) };
    """)
    print(f"    {found['sum']['passed']} of {found['sum']['checks']} checks, {len(found['sum']['kernels'])} kernels, {time.monotonic() - start:.0f} s")
    check(found["kernels"] == "gpu" and len(found["tiled"]) >= 3, found["tiled"])
    check(found["sum"]["failed"] == 0 and not found["failed"], json.dumps(found["failed"], indent=1))
    test_ten_steps_give_the_native_losses(tab)
    tab.fresh()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tests = {name.removeprefix("test_"): test for name, test in globals().items() if name.startswith("test_")}
    wanted = sys.argv[2:] or list(tests)
    driver, chromium = programs()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.pkg = Path(sys.argv[1]).resolve()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failed = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(driver, chromium, profile, ["--enable-unsafe-webgpu", "--disable-quic"])
        try:
            browser.post("timeouts", script=int(1000 * PATIENCE))
            tab = Tab(browser, f"http://127.0.0.1:{server.server_address[1]}/")
            for name in wanted:
                start = time.monotonic()
                print(f"{name.replace('_', ' ')} …")
                try:
                    tests[name](tab)
                    print(f"    passed in {time.monotonic() - start:.1f} s")
                except AssertionError as error:
                    failed.append(name)
                    print(f"    FAILED: {error}")
                    tab.fresh()
            for entry in browser.post("se/log", type="browser"):
                if entry["level"] == "SEVERE" and "favicon" not in entry["message"]:
                    print(f"    console: {entry['message'][:300]}")
        finally:
            browser.close()
            server.shutdown()
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'passed'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
