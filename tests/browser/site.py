"""The static lesson in headless Chromium: every page at two widths, links, quiz by keyboard, contrast, sizes.

    make test-site

    python3 tests/browser/site.py out/site [FOLDER [FROSTLINE]]    # FOLDER for the screenshots: out/site-shots

With the command FROSTLINE, what is downloaded in the tab is compared with what the command makes of it.

Needs what explorer.py needs. Nothing is fetched from elsewhere: the pages are served from this machine, and a
request for another host fails the test.
"""

import base64
import functools
import http.server
import json
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from explorer import TAB, Browser, ended, pressed, programs, toggle, wait

print = functools.partial(print, flush=True)
FIRST_SCREEN = 300_000  # Bytes of a page before it is scrolled, without weights.
DOWN = "\ue015"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """Serves `folder` on a free port of this machine; the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.headings = [], set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            assert found["id"] not in self.ids, f"the id {found['id']} occurs twice"
            self.ids.add(found["id"])
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))


def check_links(folder):
    """Every link leads to a file of the site, and to an existing anchor."""
    pages = {path.name: Page(path) for path in folder.glob("*.html")}
    count = 0
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            assert parts.scheme in ("", "data"), f"{name} loads or links {link}"
            if parts.scheme:
                continue
            target = unquote(parts.path) or name
            assert (folder / target).is_file(), f"{name}: {link} leads nowhere"
            if parts.fragment and target in pages:
                assert parts.fragment in pages[target].ids, f"{name}: {link} has no such anchor"
            count += 1
        levels = page.headings
        assert levels.count(1) == 1 and levels[0] == 1, f"{name}: headings {levels}"
        assert all(after - before <= 1 for before, after in zip(levels, levels[1:])), f"{name}: headings {levels}"
    print(f"{count} links of {len(pages)} pages lead somewhere")
    return sorted(pages)


def errors(browser):
    return [entry["message"] for entry in browser.post("se/log", type="browser") if entry["level"] == "SEVERE"]


# Elements without the name that a screen reader needs.
UNNAMED = """
const named = (node) => node.labels?.length || node.ariaLabel || node.getAttribute('aria-labelledby') || node.textContent.trim() || node.title;
const shown = (node) => node.checkVisibility();
return [...document.querySelectorAll('a[href], button, input, select, textarea')].filter((node) => shown(node) && !named(node))
  .concat([...document.images].filter((image) => !image.alt)).map((node) => node.outerHTML.slice(0, 120));
"""

# Words whose contrast with their background is below 4.5 (WCAG 2.2, level AA), or 3 for large words.
PALE = """
const rgba = (text) => {
  const found = text.match(/^rgba?\\(([^)]+)\\)/);
  if (found) { const [r, g, b, a] = found[1].split(/[ ,/]+/).map(Number); return [r, g, b, a ?? 1]; }
  const srgb = text.match(/^color\\(srgb ([^)]+)\\)/)[1].split(/[ /]+/).map(Number);
  return [srgb[0] * 255, srgb[1] * 255, srgb[2] * 255, srgb[3] ?? 1];
};
const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
const over = (top, under) => top.slice(0, 3).map((value, i) => value * top[3] + under[i] * (1 - top[3])).concat(1);
function behind(node) {
  const layers = [];
  for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  const page = matchMedia('(prefers-color-scheme: dark)').matches ? [20, 24, 28, 1] : [255, 255, 255, 1];
  return layers.reverse().reduce((under, top) => over(top, under), page);
}
const found = new Map();
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const text = walk.currentNode.data.trim(), node = walk.currentNode.parentElement;
  if (!text || node.closest('script, style, svg, .hidden, .skip, :disabled') || !node.checkVisibility()) continue;
  const style = getComputedStyle(node), back = behind(node), front = over(rgba(style.color), back);
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) found.set(`${node.tagName}.${node.className}`, `${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${text.slice(0, 40)}`);
}
return [...found.values()];
"""

LOADED = """
const all = performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'));
return [all.reduce((sum, one) => sum + one.encodedBodySize, 0), all.map((one) => one.name)];
"""

OVERFLOW = """
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= wide) return [];
const clipped = (node) => { for (let at = node.parentElement; at; at = at.parentElement) if (getComputedStyle(at).overflowX !== 'visible') return true; return false; };
return [...document.body.querySelectorAll('*')].filter((node) => node.getBoundingClientRect().right > wide + 1 && !clipped(node)).map((node) => node.outerHTML.slice(0, 100)).slice(0, 5);
"""


def width(browser, wide, high):
    """Sets the size of the window, and waits until the page has that size."""
    browser.cdp("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=False)
    wait(f"a width of {wide}", lambda: browser.js("return innerWidth") == wide)


def dark(browser, on):
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])


def check_pages(browser, url, names):
    """Each page at two widths and in the dark: no errors, no overflow, everything named, enough contrast."""
    sizes = {}
    for name in names:
        width(browser, 1280, 900)
        browser.post("url", url=f"{url}/{name}")
        browser.js("return document.fonts.ready.then(() => true)")
        size, addresses = browser.js(LOADED)
        assert all(address.startswith((url, "data:", "blob:")) for address in addresses), addresses
        sizes[name] = size
        assert size < FIRST_SCREEN, f"{name}: {size} bytes before anything is scrolled: {addresses}"
        for wide, high in [(1280, 900), (360, 740)]:
            width(browser, wide, high)
            page = browser.js("return document.documentElement.scrollWidth")
            assert page <= wide, f"{name} is {page} px wide at {wide}: {browser.js(OVERFLOW)}"
        unnamed = browser.js(UNNAMED)
        assert not unnamed, f"{name}: no name for a screen reader: {unnamed}"
        for on in (False, True):
            dark(browser, on)
            pale = browser.js(PALE)
            assert not pale, f"{name}, {'dark' if on else 'light'}: too pale: {pale}"
        dark(browser, False)
        assert not (said := errors(browser)), f"{name}: {said}"
    largest = max(sizes, key=sizes.get)
    print(f"{len(names)} pages at two widths, light and dark: no errors, no overflow, contrast of 4.5 and more")
    print(f"first screen: start page {sizes['index.html'] / 1000:.0f} kB, largest {largest} {sizes[largest] / 1000:.0f} kB (not compressed)")


def check_quiz(browser, url):
    """A question is answered only with the keyboard, and the answer has its measured numbers."""
    width(browser, 1280, 900)
    browser.post("url", url=f"{url}/ch0.html")
    browser.js("document.querySelector('#results').tabIndex = -1; document.querySelector('#results').focus()")
    for _ in range(40):
        browser.press(TAB)
        if browser.js("return document.activeElement.type === 'radio'"):
            break
    browser.press(" ")
    said = wait("a mark", lambda: browser.text("form.quiz .said"))
    assert said == "The runs say something else.", said
    browser.press(DOWN)
    said = wait("another mark", lambda: (lambda text: text if text == "Right." else None)(browser.text("form.quiz .said")))
    assert browser.js("return document.querySelector('form.quiz details').open")
    answer = browser.text("form.quiz details")
    assert "74.1 %" in answer and "interval" in answer, answer
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is not visible"
    print(f"the keyboard answered a question: {said}")


def check_grid(browser, url):
    """Chapter 4's situations: one at a time, stored in the address, and kept after a reload."""
    browser.post("url", url=f"{url}/ch4.html")
    shown = "return [...document.querySelectorAll('[data-grid] .panel')].filter((panel) => !panel.hidden).map((panel) => panel.id)"
    assert wait("a situation", lambda: browser.js(shown)) == ["few-similar"]
    browser.click("[data-panel=many-different]")
    assert browser.js(shown) == ["many-different"] and "97.7" in browser.text("#many-different")
    assert browser.js("return location.search") == "?situation=many-different"
    browser.post("refresh")
    assert wait("the situation after a reload", lambda: browser.js(shown)) == ["many-different"]
    print("a situation is in the address, and is kept after a reload")


def check_kernel(browser, url):
    """A kernel opens in a dialog, at its entry point, also from the address; Escape closes it."""
    browser.post("url", url=f"{url}/ch4.html?kernel=conv2d.backward_weight")
    line = wait("the kernel", lambda: browser.js("return document.querySelector('dialog[open] .line.here')?.textContent"))
    assert "fn backward_weight" in line, line
    browser.press("\ue00c")
    wait("the dialog to close", lambda: browser.js("return !document.querySelector('dialog').open"))
    assert browser.js("return location.search") == "", "a closed kernel stays in the address"
    assert not errors(browser)
    print("a kernel opens at its entry point")


def check_frostline(browser, url):
    """The line of chapter 4 moves with keys and pointer; its numbers are those of the plans; bars open kernels."""
    plans = json.loads(urllib.request.urlopen(f"{url}/data/plans.json").read())["plans"]
    browser.post("url", url=f"{url}/ch4.html?freeze=layer3")
    wait("the line", lambda: browser.js("return document.querySelector('.frostline')"))
    cells = lambda: browser.js("return [...document.querySelectorAll('.live tbody tr:first-child td')].map((cell) => cell.textContent)")
    absent = lambda: browser.js("return document.querySelectorAll('.kernel-bars .absent').length")

    def expect(stage):
        plan = next(plan for plan in plans if plan["freezeBelow"] == stage)
        counts = [str(plan[name]["dispatches"]) for name in ("ledger", "unfrozen")]
        wait(f"the plan of {stage}", lambda: cells()[:2] == counts)
        assert absent() == sum(not one["present"] for one in plan["dispatches"]), stage

    expect("layer3")
    browser.js("document.querySelector('.frostline').focus()")
    browser.press("\ue014")
    expect("layer4")
    assert browser.js("return document.querySelector('.frostline').ariaValueText ?? document.querySelector('.frostline').getAttribute('aria-valuetext')") == "frozen before layer4"
    browser.press("\ue011")
    expect("stem")
    box = browser.js("const box = document.querySelector('.strip').getBoundingClientRect(); document.querySelector('.strip').scrollIntoView({block: 'center'}); const now = document.querySelector('.strip').getBoundingClientRect(); return [now.left, now.top + now.height / 2, now.width]")
    move = lambda share: {"type": "pointerMove", "duration": 0, "x": round(box[0] + box[2] * share), "y": round(box[1])}
    drag = [move(0.02), {"type": "pointerDown", "button": 0}, move(0.5), move(0.82), {"type": "pointerUp", "button": 0}]
    browser.post("actions", actions=[{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": drag}])
    expect("fc")
    assert browser.js("return location.search") == "?freeze=fc"
    browser.click(".kernel-bars .weight.absent")
    assert "fn backward_weight" in wait("the kernel", lambda: browser.js("return document.querySelector('dialog[open] .line.here')?.textContent"))
    browser.press("\ue00c")
    assert not errors(browser)
    print("the frostline moved with keys and pointer; an absent bar opened its kernel")


def check_no_webgpu(browser, url):
    """A browser without WebGPU gets the text, the results, and one sentence about which browsers train."""
    script = "Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined })"
    name = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    for page in ("ch0.html", "ch4.html"):
        browser.post("url", url=f"{url}/{page}")
        said = wait("the sentence", lambda: browser.js("return [...document.querySelectorAll('.live .note')].map((note) => note.textContent).find((text) => text.includes('no WebGPU'))"))
        assert "Chrome and Edge from version 113" in said, said
        assert "interval" in browser.text("#results ~ .verdicts"), "the results are there"
    wait("the line, which needs no GPU", lambda: browser.js("return document.querySelector('.frostline')"))
    browser.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=name)
    print(f"without WebGPU: {said}")


def png(path, width, height, pixel):
    """Writes an RGB image whose pixels are `pixel(row)` along a row."""
    rows = b"".join(b"\0" + pixel(row) for row in range(height))
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def give(browser, css, *paths):
    """Chooses files in the input `css`, as if in the dialog."""
    browser.post(f"element/{browser.find(css)}/value", text="\n".join(map(str, paths)))


def status(browser):
    return browser.text(".live .status")


def download(browser, css):
    """The bytes of the file that a click on `css` saves."""
    browser.js("""window.saved = null; const make = window.make ??= URL.createObjectURL;
        URL.createObjectURL = (blob) => { window.saved = blob; return make.call(URL, blob); }""")
    browser.click(css)
    wait("the file", lambda: browser.js("return window.saved?.size"))
    text = browser.js("""return new Promise((done) => {
        const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(window.saved); })""")
    return base64.b64decode(text.split(",", 1)[1])


def check_own(browser, url, scratch, command):
    """Nine generated photos in three classes; other files; a huge photo; 2,000 photos; reloads; a lost device."""
    colours = {"red": (200, 40, 40), "green": (40, 190, 60), "blue": (50, 60, 210)}
    paths = {}
    for label, (name, (r, g, b)) in enumerate(colours.items()):
        for i in range(3):
            stripe = 8 + 8 * label + i
            row = lambda y: b"".join(bytes((r, g, b)) if (x // stripe + y // stripe) % 2 else bytes((r // 3, g // 3, b // 3)) for x in range(120))
            png(scratch / f"{name}{i}.png", 120, 100, row)
        paths[name] = [scratch / f"{name}{i}.png" for i in range(3)]
    browser.post("url", url=f"{url}/own.html")
    count = lambda: browser.js("return [...document.querySelectorAll('.class .soft:first-of-type')].map((node) => parseInt(node.textContent)).filter((n) => !isNaN(n))")
    wait("three classes", lambda: len(count()) == 3)
    for label, name in enumerate(colours):
        give(browser, f".class:nth-child({label + 1}) input[type=file]", *paths[name])
    wait("nine photos", lambda: count() == [3, 3, 3])
    wait("a head", lambda: status(browser).startswith("The head is ready"))
    give(browser, ".steps > li:nth-child(3) input[type=file]", paths["green"][1])
    first = wait("an answer", lambda: browser.js("return document.querySelector('.answer tbody tr')?.textContent"))
    assert first.startswith("second"), first
    print(f"own photos: the head answered {first!r}")

    (scratch / "notes.jpg").write_text("no image")
    give(browser, ".class:nth-child(1) input[type=file]", scratch / "notes.jpg")
    said = wait("what is wrong", lambda: browser.text(".live .refused"))
    time.sleep(1)  # The head is fitted again, and what was refused stays.
    assert browser.js("return document.querySelector('.live .refused').checkVisibility()"), "what was refused vanished"
    assert "“notes.jpg” is not an image" in said and count() == [3, 3, 3], (said, count())
    png(scratch / "huge.png", 10_000, 6_000, lambda row, line=bytes((40, 190, 60)) * 10_000: line)
    give(browser, ".steps > li:nth-child(3) input[type=file]", scratch / "huge.png")
    wait("an answer about 60 megapixels", lambda: browser.js("return document.querySelector('.answer tbody tr')?.textContent !== arguments[0] && document.querySelector('.live .alert').hidden", first))
    print(f"no image: {said} 60 megapixels were read.")

    # The camera of the browser's own test picture: it is answered about while it is open, and a photo of it is kept.
    by_text = lambda words: browser.js("const node = [...document.querySelectorAll('.live button')].find((one) => one.textContent === arguments[0] && one.checkVisibility()); node?.click(); return Boolean(node)", words)
    assert by_text("Open the camera")
    before = browser.text(".answer")
    wait("the camera", lambda: browser.js("return !document.querySelector('.camera video').hidden && document.querySelector('.camera video').videoWidth"))
    wait("an answer about the camera's picture", lambda: browser.text(".answer") != before)
    assert by_text("From the camera")
    wait("a photo of the camera", lambda: count() == [4, 3, 3])
    assert by_text("Close the camera") and browser.js("return document.querySelector('.camera video').srcObject.getTracks().every((track) => track.readyState === 'ended')")
    browser.js("document.querySelector('.class .pick:last-child').click()")
    wait("the photo to be removed", lambda: count() == [3, 3, 3])
    print("the camera was answered about, and closed")

    browser.post("refresh")
    wait("the photos after a reload", lambda: count() == [3, 3, 3])
    wait("a head after a reload", lambda: status(browser).startswith("The head is ready"))
    print("the photos survived a reload")

    # The head is tuned in the network, and the checkpoint is a safetensors file with its tensors.
    browser.js("const depth = document.querySelector('.steps > li:nth-child(4) select'); depth.value = 'fc'; depth.onchange()")
    browser.click(".steps > li:nth-child(4) button")
    wait("the tuned head", lambda: status(browser).startswith("Fine-tuned for 60 steps"))
    assert "--freeze-below fc" in browser.text(".steps > li:nth-child(5) pre")
    take = ".steps > li:nth-child(5)"
    file = download(browser, f"{take} .row button:nth-child(1)")
    names = list(json.loads(file[8:8 + struct.unpack("<Q", file[:8])[0]]))
    assert "fc.weight" in names and "layer4.0.conv1.weight" in names, names
    graph = download(browser, f"{take} .row button:nth-child(2)")
    print(f"the checkpoint has {len(file)} bytes and {len(names)} entries, the ONNX graph {len(graph)} bytes")
    (scratch / "tab.safetensors").write_bytes(file)
    if command:
        made = scratch / "command.onnx"
        subprocess.run([command, "export", scratch / "tab.safetensors", made], check=True, capture_output=True)
        assert made.read_bytes() == graph, "the command exports another graph of the checkpoint than the tab"
        print("the command exports the same ONNX graph of the checkpoint, to the byte")

    # The tuned network is there again after a reload, and after the device is lost.
    answer = lambda: browser.js("return document.querySelector('.answer tbody tr')?.textContent")
    by = lambda: browser.text(".answer .soft") or ""
    browser.post("refresh")
    wait("the photos again", lambda: count() == [3, 3, 3])
    wait("the tuned network after a reload", lambda: "answers again" in status(browser))
    give(browser, ".steps > li:nth-child(3) input[type=file]", paths["green"][2])
    kept = wait("its answer", answer)
    assert kept.startswith("second") and by().startswith("The tuned network"), (kept, by())
    print(f"the tuned network survived a reload: {kept!r}")
    browser.js("import('/live/common.js').then(({ current }) => current()).then((engine) => engine.loseDevice())")
    said = wait("the loss to be reported", lambda: (lambda text: text if "lost" in text else None)(browser.text(".live .alert")))
    assert count() == [3, 3, 3]
    give(browser, ".steps > li:nth-child(3) input[type=file]", paths["blue"][0])
    last = wait("an answer on a new device", lambda: (lambda text: text if text and text != kept else None)(answer()))
    assert last.startswith("third") and by().startswith("The tuned network"), (last, by())
    print(f"lost device: {said} Then: {last!r}")

    # A checkpoint is opened; another file is refused, and the network stays.
    give(browser, f"{take} input[type=file]", scratch / "tab.safetensors")
    said = wait("the checkpoint to be opened", lambda: (lambda text: text if "answers: " in text else None)(status(browser)))
    assert "resnet10_photo, 3 classes" in said, said
    give(browser, f"{take} input[type=file]", scratch / "notes.jpg")
    wrong = wait("a refusal", lambda: browser.js("return document.querySelector('.live .alert').hidden ? null : document.querySelector('.live .alert').textContent"))
    assert wrong.startswith("notes.jpg: not a safetensors file"), wrong
    give(browser, ".steps > li:nth-child(3) input[type=file]", paths["red"][0])
    wait("an answer by the opened network", lambda: (answer() or "").startswith("first"))
    print(f"a checkpoint was opened: {said} Another file: {wrong}")

    many = scratch / "many"
    many.mkdir()
    for i in range(2000):
        (many / f"{i}.png").write_bytes(paths["red"][0].read_bytes())
    give(browser, ".class:nth-child(1) input[type=file]", *sorted(many.iterdir()))
    said = wait("2,000 photos", lambda: (lambda text: text if "left out" in text else None)(browser.text(".live .refused")))
    assert "1409 of 2000 photos were left out" in said and count()[0] == 594, (said, count())
    print(f"2,000 photos: {said}")
    browser.js("[...document.querySelectorAll('.live button')].find((one) => one.textContent === 'Remove all photos').click()")


def check_examples(browser, url):
    """The example photos are added once; a run ends when all photos are removed."""
    browser.post("url", url=f"{url}/own.html")
    count = lambda: browser.js("return [...document.querySelectorAll('.class')].map((one) => one.querySelectorAll('.pick').length)")
    find = "const node = [...document.querySelectorAll('.live button')].find((one) => one.textContent === arguments[0]);"
    idle = lambda words: browser.js(f"{find} return node && !node.disabled", words)
    click = lambda words: (wait(words, lambda: idle(words)), browser.js(f"{find} node.click()", words))
    for _ in range(2):
        click("Use example photos")
        wait("24 photos", lambda: count() == [8, 8, 8] and idle("Use example photos"))
    wait("a head", lambda: status(browser).startswith("The head is ready"))
    browser.js("const depth = document.querySelector('.steps > li:nth-child(4) select'); depth.value = 'fc'; depth.onchange()")
    click("Fine-tune the last stages")
    wait("the run", lambda: idle("Stop"))
    click("Remove all photos")
    wait("the end of the run", lambda: browser.js(f"{find} return Boolean(node)", "Fine-tune the last stages"))
    assert count() == [0, 0, 0] and not idle("Fine-tune the last stages")
    assert not errors(browser)
    print("example photos were taken once; the run ended with its photos")


def check_storage(browser, url):
    """Pages that store data work even if storage is blocked."""
    script = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })"
    name = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    for page, css in {"own": ".class", "puzzles": ".editor textarea", "ch7": ".live #again"}.items():
        browser.post("url", url=f"{url}/{page}.html")
        browser.js("document.querySelector('[data-live]').scrollIntoView()")
        wait(f"{page} without storage", lambda: browser.js("return document.querySelector(arguments[0])", css))
        assert "could not be loaded" not in browser.text(".live"), page
    browser.post("url", url=f"{url}/puzzles.html")
    wait("its text", lambda: browser.js("return document.querySelector('textarea')?.value.includes('// Your lines.')"))
    browser.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=name)
    print("blocked storage: the pages work")


def check_training(browser, url):
    """Chapter 4 trains while the line moves: the page's counts change with the plan, and it pauses when hidden."""
    browser.post("url", url=f"{url}/ch4.html?freeze=layer4")
    wait("the part", lambda: browser.js("return document.querySelector('.live .primary')"))
    start = time.monotonic()
    browser.click(".live .primary")
    step = lambda: browser.js("return Number(document.querySelector('.live .now').textContent.match(/^Step (\\d+)/)?.[1] ?? 0)")
    wait("the first step", step)
    print(f"chapter 4: the first step was there after {time.monotonic() - start:.1f} s")
    cells = lambda: browser.js("return [...document.querySelectorAll('.live tbody tr:first-child td')].map((cell) => cell.textContent)")
    before = cells()
    browser.js("document.querySelector('.frostline').focus()")
    browser.press("\ue014")
    wait("another plan", lambda: int(cells()[0]) < int(before[0]))
    now = step()
    wait("steps with the other plan", lambda: step() > now + 4)
    hide = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true }); document.dispatchEvent(new Event('visibilitychange'))"
    browser.js(hide, True)
    wait("the pause", lambda: status(browser) == "Paused while this page is hidden.")
    time.sleep(2)
    paused = step()
    time.sleep(3)
    assert step() == paused, "it trains while the page is hidden"
    browser.js(hide, False)
    wait("steps after the pause", lambda: step() > paused)
    browser.click(".live .primary")
    wait("the end", lambda: status(browser) == "Stopped.")
    assert not errors(browser)
    print(f"chapter 4: the line moved while it trained, from {before[0]} to {cells()[0]} kernels; it paused while hidden")


def check_puzzle(browser, url):
    """A wrong kernel, one that does not compile, and a right one."""
    browser.post("url", url=f"{url}/puzzles.html?puzzle=relu.forward")
    wait("the puzzle", lambda: browser.js("return document.querySelector('textarea')?.value.includes('// Your lines.')"))

    template = browser.js("return document.querySelector('textarea').value")

    def tried(line):
        text = template.replace("// Your lines.", line)
        browser.js("const text = document.querySelector('textarea'); text.value = arguments[0]; text.oninput()", text)
        browser.js("document.querySelector('.status').textContent = ''")
        browser.click(".live .primary")
        return wait("a mark", lambda: (lambda text: text if text.startswith(("Not yet", "relu.forward is")) else None)(status(browser))), browser.text(".result")

    said, why = tried("let i = id.x; if i < p.size { y[i] = x[i]; }")
    assert "elements are wrong" in why, why
    _, compiler = tried("let i = id.y +; y[i] = 1.0;")
    assert browser.js("return document.querySelector('.numbers .wrong')?.textContent.trim()") == "15", compiler
    _, endless = tried("let i = id.x; while true { y[i] = 1.0; }")
    assert "does not end" in endless, endless
    said, why = tried("let i = id.x; if i < p.size { y[i] = max(x[i], 0.0); }")
    assert said.startswith("relu.forward is solved"), (said, why)
    assert not errors(browser)
    print(f"puzzle: {said} A compiler error was shown at its line, and an endless loop was found.")


LIVE = {
    "ch0": "Start the race",
    "ch1": ".pick",
    "ch2": "Compute features and fit a head",
    "ch3": "Train",
    "ch5": "Train",
    "ch6": ".pick",
    "ch8": "Fit a head for each task",
}


def check_parts(browser, url):
    """Each other part does its first thing without an error."""
    for page, what in LIVE.items():
        browser.post("url", url=f"{url}/{page}.html")
        browser.js("document.querySelector('.live').scrollIntoView()")
        find = "return [...document.querySelectorAll('.live button')].find((one) => one.matches(arguments[0].startsWith('.') ? arguments[0] : '*') && (arguments[0].startsWith('.') || one.textContent === arguments[0]))"
        wait(f"{page}: {what}", lambda: browser.js(find, what))
        start = time.monotonic()
        browser.js(f"{find.replace('return ', 'const node = ')}; node.click()", what)
        done = "const said = document.querySelector('.live .status').textContent; return document.querySelector('.live .alert').hidden ? /Both train|went through|head is ready|: step|variants, made|are ready/.test(said) && said : document.querySelector('.live .alert').textContent"
        said = wait(f"{page} to do it", lambda: browser.js(done))
        assert browser.js("return document.querySelector('.live .alert').hidden"), f"{page}: {said}"
        assert not (found := errors(browser)), f"{page}: {found}"
        print(f"{page}: {said} ({time.monotonic() - start:.1f} s)")


def check_choices(browser, url):
    """A link chooses what the page can show, or what it has without the link."""
    shown = "return [...document.querySelectorAll('.live select, .live output')].map((node) => node.value)"
    for link, values in [
        ("ch0.html?perclass=7.5&seed=7", ["12", "0"]),
        ("ch0.html?perclass=25&seed=2", ["25", "2"]),
        ("ch3.html?freeze=layer9&rate=0.02", ["stem", "0.03"]),
        ("ch4.html?perclass=7&rate=0.003", ["digits", "10", "0.02"]),
        ("ch4.html?data=fashion&perclass=50&rate=0.1", ["fashion", "50", "0.1"]),
        ("ch5.html?base=0.02&factor=0.3", ["0.03", "2", "fashion"]),
    ]:
        browser.post("url", url=f"{url}/{link}")
        browser.js("document.querySelector('.live').scrollIntoView()")
        wait(f"the choices of {link}", lambda: browser.js("return document.querySelector('.live .primary')"))
        found = browser.js(shown)
        assert sorted(found) == sorted(values), f"{link}: {found}"
    print("a link chose only what its page can show")


def check_explorer(browser, url):
    """Chapter 7 is the explorer of the native program: a run for a change, one at a time, and runs that are kept."""
    def begin():
        browser.post("url", url=f"{url}/ch7.html")
        browser.js("document.querySelector('.live').scrollIntoView()")
        wait("five layer groups", lambda: browser.js("return document.querySelectorAll('#groups button').length") == 5)
    rows = lambda: browser.js("return [...document.querySelectorAll('#table tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    begin()
    assert pressed(browser) == ["layer4", "fc"], pressed(browser)
    toggle(browser, "layer4", "layer3", "stem+layer1")
    said = ended(browser, 1)
    assert re.match(r"Run 1 reached \d+\.\d % of the test images", said), said
    assert rows()[0][5] == "stem+layer1, layer3, fc", "three quick changes are one run"
    ledger = browser.js("return [...document.querySelectorAll('#ledger tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    kernels = [int(cell) for cell in ledger[0][1:3]]
    assert 0 < kernels[0] < kernels[1], ledger
    assert "skipped" in browser.text("#groups [data-group='layer4'] small"), "a frozen group in the middle dispatches less"
    browser.click("#again")
    wait("run 2", lambda: browser.text("#status").startswith("Run 2 "))
    browser.click("#scenarios button:nth-child(1)")
    wait("run 3 to train", lambda: browser.text("#status") == "Run 3 is training.")
    browser.click("#cancel")
    assert ended(browser, 3) == "Run 3 was cancelled."
    assert [row[6] for row in rows()[:2]] == ["cancelled", "cancelled"], rows()
    browser.click("#groups [data-group=fc]")
    wait("a refusal", lambda: "everything is frozen" in browser.text("#alert"))
    begin()
    assert [row[0] for row in rows()] == ["1"], rows()
    assert not errors(browser)
    print(f"chapter 7: {said} One run at a time; the finished one is there after a reload")


def screenshots(browser, url, names, folder):
    for name in names:
        for wide, high in [(1280, 900), (360, 740)]:
            width(browser, wide, high)
            browser.post("url", url=f"{url}/{name}")
            shot(browser, folder / f"{Path(name).stem}-{wide}.png", wide)
    for name in ("index.html", "ch4.html"):
        dark(browser, True)
        width(browser, 1280, 900)
        browser.post("url", url=f"{url}/{name}")
        shot(browser, folder / f"{Path(name).stem}-dark.png", 1280)
        dark(browser, False)


def shot(browser, path, wide):
    """The whole page, its lazy figures included."""
    browser.js("document.querySelector('[data-live]')?.scrollIntoView()")
    wait("the live parts", lambda: browser.js("return ![...document.querySelectorAll('.fallback')].some((note) => note.checkVisibility())"))
    browser.js("scrollTo(0, 0); for (const image of document.images) image.loading = 'eager'; return Promise.all([...document.images].map((image) => image.decode().catch(() => 0))).then(() => true)")
    high = browser.js("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": wide, "height": min(high, 12000), "scale": 1}
    path.write_bytes(base64.b64decode(browser.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    site = Path(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/site-shots")
    folder.mkdir(parents=True, exist_ok=True)
    command = Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
    names = check_links(site)
    url = serve(site)
    driver, chromium = programs()
    with tempfile.TemporaryDirectory() as scratch:
        browser = Browser(driver, chromium, f"{scratch}/profile")
        try:
            check_pages(browser, url, names)
            check_quiz(browser, url)
            check_grid(browser, url)
            check_kernel(browser, url)
            check_frostline(browser, url)
            if (site / "engine.js").is_file():
                check_no_webgpu(browser, url)
            screenshots(browser, url, [name for name in names if not name.startswith(("kernel-", "code-"))] + ["kernel-relu.html"], folder)
        finally:
            browser.close()
        if (site / "engine.js").is_file():
            # Without --disable-gpu, and with WebGPU on a software driver.
            browser = Browser(driver, chromium, f"{scratch}/gpu", ("--enable-unsafe-webgpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"))
            try:
                width(browser, 1280, 900)
                check_puzzle(browser, url)
                check_own(browser, url, Path(scratch), command)
                check_examples(browser, url)
                check_storage(browser, url)
                check_training(browser, url)
                check_choices(browser, url)
                check_explorer(browser, url)
                check_parts(browser, url)
            finally:
                browser.close()
    print(f"passed; screenshots in {folder}")


if __name__ == "__main__":
    main()
