"""The static lesson in headless Chromium: every page at two widths, links, quiz by keyboard, contrast, sizes.

    make test-site

    python3 tests/browser/site.py out/site [FOLDER]    # FOLDER for the screenshots: out/site-shots

Needs what explorer.py needs. Nothing is fetched from elsewhere: the pages are served from this machine, and a
request for another host fails the test.
"""

import base64
import functools
import http.server
import json
import sys
import tempfile
import threading
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from explorer import TAB, Browser, programs, wait

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
            assert found["id"] not in self.ids, f"the id {found['id']} is there twice"
            self.ids.add(found["id"])
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))


def check_links(folder):
    """Every link leads to a file of the site, and to an anchor that is there."""
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


# Names of what a screen reader needs and does not get.
UNNAMED = """
const named = (node) => node.labels?.length || node.ariaLabel || node.getAttribute('aria-labelledby') || node.textContent.trim() || node.title;
const shown = (node) => node.checkVisibility();
return [...document.querySelectorAll('a[href], button, input, select, textarea')].filter((node) => shown(node) && !named(node))
  .concat([...document.images].filter((image) => !image.alt)).map((node) => node.outerHTML.slice(0, 120));
"""

# Words whose contrast with what is behind them is below 4.5 (WCAG 2.2, level AA), 3 for large ones.
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
    """Sets the size of the window, and waits until the page has it."""
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
    """A question is answered with the keyboard alone, and the answer has its measured numbers."""
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
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is not to be seen"
    print(f"the keyboard answered a question: {said}")


def check_grid(browser, url):
    """Chapter 4's situations: one at a time, in the address, and there after a reload."""
    browser.post("url", url=f"{url}/ch4.html")
    shown = "return [...document.querySelectorAll('[data-grid] .panel')].filter((panel) => !panel.hidden).map((panel) => panel.id)"
    assert wait("a situation", lambda: browser.js(shown)) == ["few-similar"]
    browser.click("[data-panel=many-different]")
    assert browser.js(shown) == ["many-different"] and "97.7" in browser.text("#many-different")
    assert browser.js("return location.search") == "?situation=many-different"
    browser.post("refresh")
    assert wait("the situation after a reload", lambda: browser.js(shown)) == ["many-different"]
    print("a situation is in the address, and there after a reload")


def check_kernel(browser, url):
    """A kernel opens in a dialog, at its entry point, from the address as well; Escape closes it."""
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
    browser.js("scrollTo(0, document.body.scrollHeight)")
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
            screenshots(browser, url, [name for name in names if not name.startswith(("kernel-", "code-"))] + ["kernel-relu.html"], folder)
        finally:
            browser.close()
    print(f"passed; screenshots in {folder}")


if __name__ == "__main__":
    main()
