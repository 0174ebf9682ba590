"""The explorer's page in headless Chromium: click, train, read the numbers, use the keyboard, on two widths.

    make test-browser

Needs Python 3.9, Chromium and its driver: `apt-get install chromium chromium-driver` on Debian,
`brew install --cask chromium chromedriver` on macOS; CHROMIUM and CHROMEDRIVER name others. The
driver is controlled over WebDriver (https://www.w3.org/TR/webdriver2/), so nothing else is needed.

    python3 tests/browser/explorer.py PROGRAM [FOLDER]    # FOLDER for the screenshots: out/browser
"""

import base64
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # The name that WebDriver gives to a reference.
PATIENCE = float(os.environ.get("PATIENCE", "240"))  # Seconds; a run without a GPU takes some of them.
print = functools.partial(print, flush=True)
TAB, SPACE, RIGHT = "\ue004", " ", "\ue014"


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def wait(what, condition):
    """The first true value of `condition`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    sys.exit(f"FAILED: waited {PATIENCE:.0f} s for {what}")


def line(process, pattern):
    """The first line that `process` writes with `pattern`, as a match."""
    for text in process.stdout:
        if found := re.search(pattern, text):
            return found
    sys.exit(f"FAILED: {process.args[0]} ended without a line like {pattern}")


def programs():
    """Chromium's driver, and Chromium."""
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not (driver and chromium):
        sys.exit("no Chromium or no chromedriver: apt-get install chromium chromium-driver, or name them in CHROMIUM and CHROMEDRIVER")
    return driver, chromium


class Browser:
    def __init__(self, driver, chromium, profile, more=("--disable-gpu",)):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
        port = line(self.process, r"successfully on port (\d+)")[1]
        flags = ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", *more]
        options = {"args": flags, "binary": chromium}
        wish = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}, "browserName": "chrome"}
        base = f"http://127.0.0.1:{port}/session"
        try:
            self.base = f"{base}/{ask(base, {'capabilities': {'alwaysMatch': wish}})['value']['sessionId']}"
        except BaseException:
            self.process.kill()
            raise

    def post(self, path, **body):
        return ask(f"{self.base}/{path}", body)["value"]

    def js(self, script, *arguments):
        return self.post("execute/sync", script=script, args=list(arguments))

    def find(self, css):
        return self.post("element", using="css selector", value=css)[ELEMENT]

    def click(self, css):
        self.post(f"element/{self.find(css)}/click")

    def text(self, css):
        return self.js("return document.querySelector(arguments[0]).textContent", css)

    def press(self, key):
        """Presses a key, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.post("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def cdp(self, cmd, **params):
        return self.post("goog/cdp/execute", cmd=cmd, params=params)

    def width(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        time.sleep(0.5)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.cdp("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self):
        try:
            urllib.request.urlopen(urllib.request.Request(self.base, method="DELETE"), timeout=20).close()
        finally:
            self.process.terminate()
            self.process.wait()


def ended(browser, run):
    """Waits until the page reports the end of run `run`, and returns that text."""
    said = lambda: (lambda text: text if re.match(rf"Run {run} (reached|was|failed)", text) else None)(browser.text("#status"))
    return wait(f"the end of run {run}", said)


def pressed(browser):
    return browser.js("return [...document.querySelectorAll('#groups [aria-pressed=true]')].map((button) => button.dataset.group)")


def toggle(browser, *groups):
    """Presses several groups within the time that the page waits for further changes."""
    browser.js("for (const group of arguments) document.querySelector(`[data-group='${group}']`).click()", *groups)


def check_click(browser, url):
    """A click on a group trains, and the page's numbers are the server's."""
    wait("five layer groups", lambda: browser.js("return document.querySelectorAll('#groups button').length") == 5)
    assert pressed(browser) == ["layer4", "fc"], pressed(browser)
    browser.click("#groups [data-group=layer3]")
    assert pressed(browser) == ["layer3", "layer4", "fc"], pressed(browser)
    said = ended(browser, 1)
    run = ask(f"{url}/state")["runs"][0]
    assert run["status"] == "finished" and run["request"]["trainable"] == ["layer3", "layer4", "fc"], run
    assert f"{100 * run['accuracy']:.1f} %" in said, said
    cost = run["cost"]
    ledger = browser.js("return [...document.querySelectorAll('#ledger tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert ledger[0][1:3] == [str(cost["step"]["kernels"]), str(cost["unfrozen"]["kernels"])], ledger
    assert int(ledger[2][1]) < int(ledger[2][2]), ledger
    skipped = cost["groups"][0]["skipped"]
    assert skipped > 0 and f"{skipped} skipped" in browser.text("#groups [data-group='stem+layer1'] small")
    # The legend of the scatter has a mark as well.
    for chart, marks in [("loss", len(run["losses"])), ("accuracy", len(run["validation"])), ("scatter", 2)]:
        assert browser.js("return document.querySelectorAll(arguments[0]).length", f"#{chart} circle") == marks, chart
    print(f"a click trained: {said}")


def check_keyboard(browser, url):
    """Everything can be reached and used without a mouse, and the focus is seen."""
    focus = "const at = document.activeElement; return at.dataset.group ?? at.id ?? ''"
    browser.js("document.activeElement.blur()")
    browser.post(f"element/{browser.find('#status')}/click")
    browser.js("document.getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()")
    seen = []
    while "fc" not in seen and len(seen) < 30:
        browser.press(TAB)
        seen.append(browser.js(focus))
    assert seen[-5:] == ["stem+layer1", "layer2", "layer3", "layer4", "fc"], seen
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", f"the focus is not visible: {outline}"
    browser.js("document.querySelector('[data-group=layer3]').focus()")
    browser.press(SPACE)
    assert pressed(browser) == ["layer4", "fc"], pressed(browser)
    ended(browser, 2)
    browser.js("document.querySelector('#lr').focus()")
    before = float(browser.text("#rate"))
    browser.press(RIGHT)
    assert float(browser.text("#rate")) > before
    ended(browser, 3)
    request = ask(f"{url}/state")["runs"][2]["request"]
    assert abs(request["lr"] - float(browser.text("#rate"))) < 1e-6 and request["trainable"] == ["layer4", "fc"], request
    print(f"the keyboard trained: {browser.text('#status')}")


def check_scenario_and_cancel(browser, url):
    """A scenario sets the controls and runs; cancel stops it, and the next run works."""
    browser.click("#scenarios button:nth-child(4)")
    wait("run 4 to train", lambda: browser.text("#status") == "Run 4 is training.")
    assert len(pressed(browser)) == 5 and browser.js("return document.querySelector('[value=different]').checked")
    assert "advice" in browser.text("#advice")
    browser.click("#cancel")
    assert ended(browser, 4) == "Run 4 was cancelled."
    toggle(browser, "layer2", "layer3")
    said = ended(browser, 5)
    run = ask(f"{url}/state")["runs"][4]
    assert run["request"]["trainable"] == ["stem+layer1", "layer4", "fc"], "two quick changes are one run"
    assert "reached" in said, said
    # A request with everything frozen is refused with a sentence.
    toggle(browser, "stem+layer1", "layer4", "fc")
    wait("a refusal", lambda: "everything is frozen" in browser.text("#alert"))
    print("scenario, cancel and refusal work")


def check_sweep(browser, url):
    """Every depth, one after another."""
    browser.click("#scenarios button:nth-child(1)")
    ended(browser, 6)
    assert browser.js("return document.querySelector('#alert').hidden")
    browser.click("#sweep")
    for run in range(7, 12):
        over = lambda: [one for one in ask(f"{url}/state")["runs"] if one["id"] == run and one["status"] == "finished"]
        wait(f"run {run} of the sweep", over)
    depths = [len(run["request"]["trainable"]) for run in ask(f"{url}/state")["runs"][6:]]
    assert depths == [1, 2, 3, 4, 5], depths
    print("a sweep went through every depth")


def screenshots(browser, folder, name, check=lambda width: None):
    """The page at three widths and in the dark; it must fit, and `check` gets every width."""
    for width, height in [(1280, 900), (360, 740), (320, 640)]:
        browser.width(width, height)
        wide = browser.js("return document.documentElement.scrollWidth")
        assert wide <= width, f"{width} px: the page is {wide} px wide"
        check(width)
        browser.screenshot(folder / f"{name}_{width}.png")
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.width(1280, 900)
    browser.screenshot(folder / f"{name}_dark.png")


def check_widths(browser, folder):
    toggle(browser, "stem+layer1", "layer2", "layer3")
    ended(browser, 12)

    def fingers(_):
        small = browser.js("return [...document.querySelectorAll('button')].filter((one) => one.offsetHeight < 36).map((one) => one.textContent)")
        assert not small, f"too small for a finger: {small}"

    screenshots(browser, folder, "explorer", fingers)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/browser")
    folder.mkdir(parents=True, exist_ok=True)
    driver, chromium = programs()
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.argv[1], "--port", "0", "--no-browser", "--images", "20,100", "--steps", "15", "--out", scratch]
        explorer, browser = subprocess.Popen(command, stdout=subprocess.PIPE, text=True), None
        try:
            url = line(explorer, r"(http://127\.0\.0\.1:\d+)")[1]
            browser = Browser(driver, chromium, f"{scratch}/profile")
            browser.width(1280, 900)
            browser.post("url", url=url)
            check_click(browser, url)
            check_keyboard(browser, url)
            check_scenario_and_cancel(browser, url)
            check_sweep(browser, url)
            check_widths(browser, folder)
            # A refused run is answered with status 400, which Chromium also logs.
            severe = [entry["message"] for entry in browser.post("se/log", type="browser") if entry["level"] == "SEVERE"]
            assert all("/run" in message and "400" in message for message in severe), severe
        finally:
            if browser:
                browser.close()
            explorer.send_signal(signal.SIGINT)
            explorer.stdout.read()
            code = explorer.wait(PATIENCE)
        assert code == 0, f"Ctrl-C ended the explorer with {code}"
        results = json.loads(Path(scratch, "explorer.json").read_text())
        assert len(results["runs"]) == 12, "Ctrl-C keeps the runs"
    print(f"passed; screenshots in {folder}")


if __name__ == "__main__":
    main()
